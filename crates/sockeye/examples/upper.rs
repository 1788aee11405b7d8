//! A server of your own: text comes back in upper case, over TCP, UDP and a Unix socket at once.
//!
//! ```sh
//! cargo run --example upper
//! nc 127.0.0.1 3000          # in a second terminal; nc -u and nc -U upper.sock work as well
//! ```

use sockeye::{Address, Port, PortConfig, Session, service_fn};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> sockeye::Result<()> {
    // No scheme: TCP and UDP on one number. Both addresses share the service and the limits.
    let addresses: [Address; 2] = ["127.0.0.1:3000".parse()?, "unix:upper.sock".parse()?];
    let port = Port::bind_all(&addresses, PortConfig::default()).await?;
    for end in port.listening() {
        println!("listening {} {}", end.protocol, end.at);
    }

    // One function for every protocol: it never learns which of them carries the session.
    let upper = service_fn(async |mut session: Session| {
        while let Some(message) = session.recv().await? {
            let answer = match message.text() {
                Ok(text) => text.to_uppercase().into(),
                Err(_) => message,
            };
            session.send(answer).await?;
        }
        session.finish().await
    });

    // Ctrl-C: nobody new is taken, what has arrived is still answered, then `serve` returns.
    let stop = CancellationToken::new();
    let serving = port.serve(upper, stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => served,
        _ = tokio::signal::ctrl_c() => {
            stop.cancel();
            serving.await
        }
    }
}
