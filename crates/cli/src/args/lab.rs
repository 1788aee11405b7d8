//! `sockeye trace lab`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::picture::PictureArgs;
use super::values;

/// Play a connection over a wire that delays and loses what it is told to, and draw it
///
/// Both ends use the TCP of this kernel, each in a network of its own, and the wire between them is
/// this program: so every packet is seen when it leaves and when it arrives, and what became of it
/// is known. An ordinary user may do that wherever user namespaces are allowed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct LabArgs {
    /// What is played: a name of --list [default: exchange]
    pub(crate) scenario: Option<String>,
    /// What can be played
    #[arg(long)]
    pub(crate) list: bool,

    /// How long each way takes
    #[arg(help_heading = WIRE, long, value_name = "TIME", value_parser = values::time)]
    pub(crate) delay: Option<Duration>,
    /// How much each way carries: 10mbit, 512kbit
    #[arg(help_heading = WIRE, long, value_name = "BITS", value_parser = rate)]
    pub(crate) rate: Option<u64>,
    /// How much waits for its turn where there is a --rate; what comes beyond it is lost
    #[arg(help_heading = WIRE, long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) queue: Option<usize>,
    /// How many packets are lost at random: 5%
    #[arg(help_heading = WIRE, long, value_name = "PERCENT", value_parser = share)]
    pub(crate) loss: Option<u32>,
    /// Where the random numbers of --loss begin
    #[arg(help_heading = WIRE, long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Lose these: [client:|server:]KIND[:N], where KIND is syn, syn-ack, ack, data, fin, rst or any, and N
    /// which of them: 1, 2-4 or 2,5. Without N all; may be repeated, like those that follow
    #[arg(help_heading = WIRE, long, value_name = "WHICH")]
    pub(crate) drop: Vec<String>,
    /// Deliver these twice
    #[arg(help_heading = WIRE, long, value_name = "WHICH")]
    pub(crate) dup: Vec<String>,
    /// Let the next one overtake these
    #[arg(help_heading = WIRE, long, value_name = "WHICH")]
    pub(crate) reorder: Vec<String>,
    /// Deliver these so much later: data:2=15ms
    #[arg(help_heading = WIRE, long, value_name = "WHICH=TIME")]
    pub(crate) late: Vec<String>,
    /// Turn a bit of these over
    #[arg(help_heading = WIRE, long, value_name = "WHICH")]
    pub(crate) corrupt: Vec<String>,

    /// The server is a service of `sockeye serve`, with its arguments
    #[arg(help_heading = ENDS, long, value_name = "SERVICE", conflicts_with = "server")]
    pub(crate) service: Option<String>,
    /// The client is `sockeye connect`, which says this; may be repeated
    #[arg(help_heading = ENDS, long, value_name = "TEXT", conflicts_with = "client")]
    pub(crate) send: Vec<String>,
    /// What --send goes over: tcp, udp, tls, ws, wss, http, https, quic …
    #[arg(help_heading = ENDS, long, value_name = "SCHEME", default_value = "tcp", requires = "send")]
    pub(crate) over: String,
    /// The server is this program, which is ended when the client has
    #[arg(help_heading = ENDS, long, value_name = "CMD")]
    pub(crate) server: Option<String>,
    /// The client is this program. Both find the server's address in $SERVER, and in $HOST and $PORT
    #[arg(help_heading = ENDS, last = true, value_name = "CMD")]
    pub(crate) client: Vec<OsString>,
    /// End it after this time
    #[arg(help_heading = ENDS, long, value_name = "TIME", value_parser = values::time, default_value = "60s")]
    pub(crate) limit: Duration,

    /// Write what one end saw into a pcapng file too, with what was lost
    #[arg(help_heading = "Capture", long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// With the keys of both ends, so that Wireshark opens what they have encrypted
    #[arg(help_heading = "Capture", long, requires = "pcap")]
    pub(crate) with_keys: bool,
    /// Which end that is
    #[arg(
        help_heading = "Capture",
        long,
        value_name = "END",
        default_value = "client",
        requires = "pcap"
    )]
    pub(crate) at: At,

    #[command(flatten)]
    pub(crate) picture: PictureArgs,
}

const WIRE: &str = "Wire";
const ENDS: &str = "Ends";

/// An end of the lab.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum At {
    /// The client
    Client,
    /// The server
    Server,
}

const EXAMPLES: &str = "\
Examples:
  sockeye trace lab --list
  sockeye trace lab syn-loss --explain
  sockeye trace lab fast-retransmit --delay 40ms --drop client:data:9 --svg > loss.svg
  sockeye trace lab --loss 5% --seed 7 --send hello
  sockeye trace lab --service echo --over wss --send hello --drop server:data:2
  sockeye trace lab --server 'python3 -m http.server 4040' -- curl -s http://10.77.0.2:4040/
  sockeye trace lab close --pcap close.pcap --at server
The client is 10.77.0.1 and the server 10.77.0.2, port 4040, both on the interface wire0. What programs
print goes to standard error. docs/TRACE.md has pictures.";

/// `10mbit`, `512kbit`, `1gbit`; a plain number is bits a second.
fn rate(text: &str) -> Result<u64, String> {
    let wrong = || "write a rate such as 10mbit, 512kbit or 9600".to_owned();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: u64 = match unit {
        "" | "bit" => 1,
        "kbit" => 1_000,
        "mbit" => 1_000_000,
        "gbit" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let rate = number.checked_mul(factor).filter(|rate| *rate > 0);
    rate.ok_or_else(wrong)
}

/// `5%` as so many of a million.
fn share(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let percent: f64 = number
        .parse()
        .map_err(|_| "write a share such as 5% or 0.1%".to_owned())?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok((percent * 10_000.0).round() as u32),
        false => Err("a share is from 0% to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_shares_are_read_as_they_are_written() {
        assert_eq!(rate("10mbit"), Ok(10_000_000));
        assert_eq!(rate("9600"), Ok(9600));
        assert!(
            ["0", "10 mbit", "10MB", "mbit"]
                .iter()
                .all(|text| rate(text).is_err())
        );
        assert_eq!(
            (share("5%"), share("0.1"), share("100%")),
            (Ok(50_000), Ok(1000), Ok(1_000_000))
        );
        assert!(
            ["-1%", "101%", "five"]
                .iter()
                .all(|text| share(text).is_err())
        );
    }
}
