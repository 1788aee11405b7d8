//! A client that answers: it reaches a server and sends back every message until the server ends.
//! `cargo run --example answer ws://127.0.0.1:3000/ [compress]`

use std::process::ExitCode;

use sockeye::{DialOptions, Service, WsSettings, dial, service::Echo};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let to = words
        .next()
        .unwrap_or_else(|| "ws://127.0.0.1:3000/".to_owned());
    let options = DialOptions {
        websocket: WsSettings {
            compress: words.any(|word| word == "compress"),
            ..WsSettings::default()
        },
        ..DialOptions::default()
    };
    match answer(&to, &options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(to: &str, options: &DialOptions) -> sockeye::Result<()> {
    let session = dial(&to.parse()?, options).await?;
    // A service does not care who called whom.
    Echo.serve(session).await
}
