//! Explanations in English.

use super::Topic;
use crate::event::How;
use crate::words::groups;

/// The sentence about `topic`: `own` sent the segment to `other`.
pub(super) fn sentence(topic: &Topic, own: &str, other: &str) -> String {
    let text = opening(topic, own, other)
        .or_else(|| data(topic, own, other))
        .or_else(|| trouble(topic, own, other))
        .unwrap_or_else(|| closing(topic, own, other));
    capitalized(&text)
}

/// With a capital at the beginning of every sentence, but for the names of fields.
fn capitalized(text: &str) -> String {
    let sentences = text.split_inclusive(". ").map(|sentence| {
        let field = ["seq ", "ack "]
            .iter()
            .any(|field| sentence.starts_with(field));
        match sentence.chars().next() {
            Some(first) if !field => {
                let rest = &sentence[first.len_utf8()..];
                format!("{}{rest}", first.to_uppercase())
            }
            _ => sentence.to_owned(),
        }
    });
    sentences.collect()
}

fn opening(topic: &Topic, own: &str, other: &str) -> Option<String> {
    Some(match topic {
        Topic::Syn { isn, window, mss } => {
            let isn = groups(&isn.to_string());
            let mss = mss
                .map(|mss| format!(" in segments of up to {mss} bytes"))
                .unwrap_or_default();
            format!(
                "{own} opens with SYN, \"synchronize\": its bytes will be numbered from {isn}, a number chosen at \
                 random, which counts as 0 here. It takes {window} bytes at first{mss}."
            )
        }
        Topic::SynAck { isn, theirs } => format!(
            "{own} agrees and opens its own direction in the same segment: its numbers begin at {}. ack 1 says that \
             SYN {} has arrived and number 1 is expected next.",
            groups(&isn.to_string()),
            groups(&theirs.to_string())
        ),
        Topic::Connected { rtt } => format!(
            "the third step of the handshake: now {other} knows too that it is heard. {rtt} is how long a question \
             and its answer take on this path."
        ),
        Topic::SynAgain { after } => format!(
            "nobody answered for {after}, so {own} sends the same SYN again. It cannot know whether the SYN was lost \
             or the answer to it."
        ),
        Topic::SynUnseen => format!(
            "{own} opens with SYN, \"synchronize\", which tells {other} where the numbers of its bytes begin. Nobody saw \
             the packet; what follows from it was seen."
        ),
        Topic::GaveUp => format!(
            "no answer is an answer as well: {own} cannot tell whether a SYN got lost, a firewall swallows it, or the \
             machine of {other} is off. It waits no longer, and nothing is sent to say so."
        ),
        Topic::Refused => format!(
            "RST, \"reset\", answers the SYN: the machine of {own} is there, but no program listens on that port."
        ),
        _ => return None,
    })
}

fn data(topic: &Topic, own: &str, other: &str) -> Option<String> {
    Some(match topic {
        Topic::Data {
            first,
            last,
            len,
            push,
        } => {
            let push = match push {
                true => " PSH asks that the program gets them at once.",
                false => "",
            };
            format!(
                "seq {first} says where these {len} bytes belong: they are numbers {first} to {last} of what {own} \
                 has to say.{push}"
            )
        }
        Topic::Ack { ack } => format!(
            "ack {ack} says: everything before number {ack} is here. {other} may forget it; before that it has to \
             keep it, to be able to send it again."
        ),
        Topic::KeepAlive { seq } => format!(
            "it is quiet, so {own} asks whether {other} is still there: it sends number {seq}, which was acknowledged \
             long ago, and so provokes an ACK."
        ),
        _ => return None,
    })
}

fn trouble(topic: &Topic, own: &str, other: &str) -> Option<String> {
    Some(match topic {
        Topic::Again {
            how,
            first,
            last,
            after,
        } => {
            let why = match how {
                How::Fast => {
                    "duplicate ACKs show that it is missing, so nobody waits for the timer"
                }
                How::Probe => {
                    "the end of what was said is not acknowledged; this asks for an ACK before the timer runs out"
                }
                How::Spurious => "it had arrived, but the sender does not know that",
                _ => "no ACK came in time, so the timer sends it again",
            };
            format!("numbers {first} to {last} once more, {after} later: {why}.")
        }
        Topic::DuplicateAck { ack } => format!(
            "the same ack {ack} again: something came that lies behind a hole, and {ack} is still what is missing."
        ),
        Topic::Sack { ack, first, last } => format!(
            "ack {ack} again, because {ack} is missing; the SACK adds that {first} to {last} are here all the same. \
             After three of these {other} sends what is missing."
        ),
        Topic::Damaged => format!(
            "A bit was turned over on the way, and the checksum no longer fits, so {other} throws the segment away without a word: to {own} that is a loss like any other."
        ),
        Topic::ReadLate { after } => format!(
            "the kernel of {other} took it and acknowledged it as soon as it came. The program was busy with something \
             else, and fetched it {after} later: meanwhile it lay in the socket's receive buffer."
        ),
        Topic::DuplicateSack => {
            format!("{own} reports bytes that came twice: sending them again was not needed.")
        }
        Topic::WindowFull => format!(
            "now everything is on the way that {other} is ready to take. {own} has to wait for an ACK."
        ),
        Topic::ZeroWindow => format!(
            "window 0: the program of {own} does not read, and its buffer is full. {other} must stop."
        ),
        Topic::Probe => format!(
            "the ACK that opens the window could get lost, so {own} asks from time to time whether there is room."
        ),
        Topic::WindowUpdate { window } => {
            format!("the program has read: {own} takes {window} bytes again.")
        }
        _ => return None,
    })
}

fn closing(topic: &Topic, own: &str, other: &str) -> String {
    match topic {
        Topic::Fin { seq } => format!(
            "FIN: {own} has no more to say. The FIN takes a number of its own, {seq}, and is acknowledged like a \
             byte. {own} still listens."
        ),
        Topic::FinAcked { ack, half } => {
            let half = match half {
                true => format!(" {own} may go on talking: the connection is half closed."),
                false => String::new(),
            };
            format!("ack {ack} is one more than the FIN's number: it has arrived.{half}")
        }
        Topic::SecondFin { seq, both } => {
            let both = match both {
                true => {
                    " The same segment acknowledges the FIN of the other end, so three segments close instead of four."
                }
                false => "",
            };
            format!("{own} has finished as well; its FIN is number {seq}.{both}")
        }
        Topic::LastAck { ack } => format!(
            "the last word: ack {ack} confirms the second FIN. Who sends it keeps TIME-WAIT for a while (60 s on \
             Linux), in case it gets lost and {other} repeats its FIN."
        ),
        Topic::FinAgain => format!(
            "{own} has not heard the last ACK and repeats its FIN. {other}, in TIME-WAIT, can answer again: that is \
             what TIME-WAIT is for."
        ),
        Topic::OpenAtOnce => "Both ends have sent a SYN before they heard the other's. Each answers with the same SYN and an ACK, and it becomes one connection: there is no client and no server.".to_owned(),
        Topic::AtOnce => {
            "both FINs were on the way at the same time: both ends go through CLOSING to TIME-WAIT."
                .to_owned()
        }
        Topic::Rst { answers_data } => {
            let why = match answers_data {
                true => " A program that closes with unread data, or asks for it, does this.",
                false => "",
            };
            format!(
                "RST: {own} drops the connection at once. Nothing is acknowledged any more, nobody waits.{why}"
            )
        }
        _ => String::new(),
    }
}
