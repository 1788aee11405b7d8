//! A chat room: what one says, all others hear, whether they came over TCP, over UDP or by a Unix socket.
//!
//! ```sh
//! cargo run --example room
//! nc 127.0.0.1 3000                                  # one guest
//! nc -u 127.0.0.1 3000                               # another: a UDP guest is in with the first word
//! cargo run -p sockeye-cli -- connect unix:room.sock # a third
//! ```

use sockeye::{Address, Message, Port, PortConfig, Result, Service, Session};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Where the sessions meet. `serve` takes `&self`: sessions run at the same time and share this.
struct Room {
    /// What was said, and by whom.
    words: broadcast::Sender<(u64, Message)>,
}

impl Service for Room {
    async fn serve(&self, mut session: Session) -> Result<()> {
        let me = session.info().id();
        let mut words = self.words.subscribe();
        loop {
            // Whichever comes first. Dropping the other one is safe: `recv` loses nothing.
            tokio::select! {
                said = session.recv() => match said? {
                    Some(message) => {
                        let line = format!("#{me}: {}\n", message.text()?.trim_end());
                        // An error only says that nobody is there to hear it.
                        let _ = self.words.send((me, line.into()));
                    }
                    None => return session.finish().await,
                },
                heard = words.recv() => match heard {
                    Ok((who, message)) if who != me => session.send(message).await?,
                    Ok(_) => {}
                    // A slow guest is told what it missed; the others do not wait for it.
                    Err(RecvError::Lagged(n)) => session.send(format!("({n} words were missed)\n")).await?,
                    Err(RecvError::Closed) => return session.finish().await,
                },
            }
        }
    }

    /// Told when the port stops, before its sessions end.
    async fn shutdown(&self) {
        let _ = self.words.send((0, "the room closes\n".into()));
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let addresses: [Address; 2] = ["127.0.0.1:3000".parse()?, "unix:room.sock".parse()?];
    let port = Port::bind_all(&addresses, PortConfig::default()).await?;
    for end in port.listening() {
        println!("listening {} {}", end.protocol, end.at);
    }
    let room = Room {
        words: broadcast::channel(256).0,
    };
    let stop = CancellationToken::new();
    let serving = port.serve(room, stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => served,
        _ = tokio::signal::ctrl_c() => {
            stop.cancel();
            serving.await
        }
    }
}
