//! A client of your own: says what stands on the command line, line by line, and prints the answers.
//!
//! ```sh
//! cargo run --example ask -- tcp://127.0.0.1:3000 hello 'good bye'
//! cargo run --example ask -- udp://127.0.0.1:3000 hello
//! ```

use std::time::Duration;

use sockeye::{Address, DialOptions, Framing, dial};

#[tokio::main]
async fn main() -> sockeye::Result<()> {
    let mut words = std::env::args().skip(1);
    let address: Address = words.next().unwrap_or_else(|| ":3000".to_owned()).parse()?;

    let options = DialOptions {
        // A message ends at a line end. Over UDP the datagram is the message, and this changes nothing.
        framing: Framing::Line,
        timeout: Some(Duration::from_secs(5)),
        ..DialOptions::default()
    };
    let mut session = dial(&address, &options).await?;
    let info = session.info();
    println!("{}: {} -> {}", info.protocol(), info.local(), info.peer());

    for word in words {
        session.send(word).await?;
        // `recv` may be dropped at any point without losing a byte, so a time limit is safe.
        match tokio::time::timeout(Duration::from_secs(1), session.recv()).await {
            Ok(Ok(Some(answer))) => println!("{}", answer.text()?),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(error),
            Err(_) => println!("(no answer within a second)"),
        }
    }
    session.finish().await
}
