//! The scenarios, by name: what happens on the wire, what both ends do, and what that teaches.

use std::fmt;
use std::io;
use std::time::Duration;

use super::cable::Link;
use super::rule::{Action, Rule};
use super::{Part, Play};
use crate::diagram::pen::wrapped;
use crate::explain::Language;

mod acts;
mod stage;

pub(super) use stage::{Meeting, Stage};

/// A play that can be asked for by its name.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    /// What is to be seen in it, in English and in Chinese.
    teaches: [&'static str; 2],
    /// How long each way takes, in milliseconds.
    delay: u64,
    /// Bits a second.
    rate: Option<u64>,
    rules: &'static [(Action, &'static str)],
    /// The client and the server.
    ends: [Scene; 2],
}

/// What one end does.
#[derive(Clone, Copy)]
pub struct Scene(fn(&Stage<'_>) -> io::Result<()>);

impl Scene {
    pub(super) fn play(&self, stage: &Stage<'_>) -> io::Result<()> {
        (self.0)(stage)
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scene")
    }
}

/// The scenario of this name.
#[must_use]
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// What is to be seen in it.
    #[must_use]
    pub const fn teaches(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.teaches[0],
            Language::Chinese => self.teaches[1],
        }
    }

    /// The same as lines that are not wider than so many columns, with an empty one behind them.
    #[must_use]
    pub fn introduction(&self, language: Language, width: usize) -> String {
        let mut text = format!("{}: {}\n", self.name, self.what);
        for line in wrapped(self.teaches(language), width, 0) {
            text.push_str(&line);
            text.push('\n');
        }
        text.push('\n');
        text
    }

    /// Everything that it takes to play it.
    #[must_use]
    pub fn play(&self) -> Play {
        let rules = self.rules.iter();
        // A test reads them all.
        let rules = rules.filter_map(|(action, which)| Rule::new(*action, which).ok());
        Play {
            link: Link {
                delay: Duration::from_millis(self.delay),
                rate: self.rate,
                rules: rules.collect(),
                ..Link::default()
            },
            parts: self.ends.map(Part::Scene),
            limit: Duration::from_secs(60),
            keys: None,
        }
    }
}

/// What most of them are made of.
const PLAIN: Scenario = Scenario {
    name: "",
    what: "",
    teaches: [""; 2],
    delay: 10,
    rate: None,
    rules: &[],
    ends: [Scene(acts::ask), Scene(acts::answer)],
};

/// All of them: how connections open, how they close, and what goes wrong between.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "exchange",
        what: "a question, an answer, and the close",
        teaches: [
            "The whole life of a connection: three segments open it, a question and its answer are carried and acknowledged, and both directions are closed, each by a FIN of its own.",
            "一个连接的一生：三段打开，一问一答各得到确认，最后两个方向各用自己的 FIN 关闭。",
        ],
        ..PLAIN
    },
    Scenario {
        name: "handshake",
        what: "three segments open a connection",
        teaches: [
            "Before a byte is carried, both ends tell each other where their numbers begin, and each hears that the other has understood: SYN, SYN ACK, ACK.",
            "在传送任何字节之前，两端互相告知编号的起点，并确认对方听懂了：SYN、SYN ACK、ACK。",
        ],
        ends: [Scene(acts::open), Scene(acts::accept)],
        ..PLAIN
    },
    Scenario {
        name: "close",
        what: "the client closes, and the server a little later: four segments",
        teaches: [
            "Each direction is closed for itself. The client is done first (FIN, answered by an ACK) while the server still works; then the server is done too. Whoever closes first ends in TIME-WAIT.",
            "每个方向各自关闭。客户端先说完（FIN，得到 ACK），服务器还在忙；然后服务器也说完。先关闭的一端最后处于 TIME-WAIT。",
        ],
        ends: [Scene(acts::ask), Scene(acts::answer_and_dawdle)],
        ..PLAIN
    },
    Scenario {
        name: "half-close",
        what: "the client finishes, and the server goes on talking",
        teaches: [
            "A FIN ends one direction only. The client has said everything and is in FIN-WAIT-2; the server, in CLOSE-WAIT, sends three lines all the same, and they are acknowledged.",
            "FIN 只结束一个方向。客户端说完了，处于 FIN-WAIT-2；服务器在 CLOSE-WAIT 中照样发三行，并得到确认。",
        ],
        ends: [Scene(acts::finish_first), Scene(acts::answer_at_length)],
        ..PLAIN
    },
    Scenario {
        name: "simultaneous-close",
        what: "both ends close at the same moment",
        teaches: [
            "Both FINs are on the way at once, and neither acknowledges the other. So both ends pass through CLOSING, and both keep TIME-WAIT.",
            "两个 FIN 同时在路上，谁也没确认谁。于是两端都经过 CLOSING，最后都处于 TIME-WAIT。",
        ],
        delay: 40,
        ends: [
            Scene(acts::ask_and_close_at_once),
            Scene(acts::answer_and_close_at_once),
        ],
        ..PLAIN
    },
    Scenario {
        name: "simultaneous-open",
        what: "both ends call each other at the same moment",
        teaches: [
            "Nobody listens: both ends send a SYN, and the SYNs cross. It becomes one connection and not two: both go from SYN-SENT to SYN-RECEIVED, and there is no client and no server.",
            "没有谁在监听：两端都发 SYN，两个 SYN 在路上交错。结果是一个连接而不是两个：两端都从 SYN-SENT 到 SYN-RECEIVED，没有客户端和服务器之分。",
        ],
        delay: 40,
        ends: [Scene(acts::call_and_close), Scene(acts::call_and_listen)],
        ..PLAIN
    },
    Scenario {
        name: "syn-loss",
        what: "the first SYN is lost",
        teaches: [
            "The first SYN never arrives. Nobody tells the client: it can only wait. After a second its timer runs out and it sends the same SYN again, and from there on everything is as always. A lost SYN is why a connection sometimes takes a second longer than all others.",
            "第一个 SYN 没有到达，没有谁告诉客户端：它只能等。一秒后定时器到期，它重发同一个 SYN，之后一切照常。有时建立连接恰好慢一秒，就是因为丢了一个 SYN。",
        ],
        rules: &[(Action::Drop, "client:syn:1")],
        ..PLAIN
    },
    Scenario {
        name: "syn-ack-loss",
        what: "the answer to the SYN is lost",
        teaches: [
            "The SYN has arrived, but its answer is lost. The client sees the same as if the SYN had been lost, and repeats it; the server is already SYN-RECEIVED and answers again.",
            "SYN 到了，但回答丢了。在客户端看来与 SYN 丢失一样，于是重发；服务器已处于 SYN-RECEIVED，再回答一次。",
        ],
        rules: &[(Action::Drop, "server:syn-ack:1")],
        ..PLAIN
    },
    Scenario {
        name: "syn-blackhole",
        what: "no SYN ever arrives: the call is given up after 4.5 s",
        teaches: [
            "Something on the way swallows every SYN, as a firewall does that drops in silence. The client repeats it and repeats it, and learns nothing: it stays in SYN-SENT until somebody loses patience. Compare `refused`.",
            "路上有什么吞掉了所有 SYN，就像默默丢弃的防火墙。客户端一再重发，什么也得不到：一直处于 SYN-SENT，直到有人失去耐心。与 `refused` 比较。",
        ],
        rules: &[(Action::Drop, "client:syn")],
        ends: [Scene(acts::call_in_vain), Scene(acts::listen_in_vain)],
        ..PLAIN
    },
    Scenario {
        name: "refused",
        what: "nothing listens on that port",
        teaches: [
            "The machine is there, but nothing listens on that port. It says so at once, by an RST: a refusal takes one round trip, silence takes for ever.",
            "机器在，但那个端口没有程序监听。它立刻用 RST 说明：拒绝只要一个往返，沉默则没有尽头。",
        ],
        ends: [Scene(acts::be_refused), Scene(acts::be_deaf)],
        ..PLAIN
    },
    Scenario {
        name: "fast-retransmit",
        what: "one segment of many is lost",
        teaches: [
            "The sixth segment is lost, and those behind it arrive. Each makes the server say the same again: I am still waiting for that number. The third time the client sends the missing segment without waiting for its timer: the loss costs one round trip, and not 200 ms.",
            "第六段丢了，后面的都到了。每来一段，服务器就再说一遍：我还在等那个编号。第三遍时客户端不等定时器就补发：这次丢失只花一个往返，而不是 200 毫秒。",
        ],
        rules: &[(Action::Drop, "client:data:6")],
        ends: [Scene(acts::send_twenty), Scene(acts::read_all)],
        ..PLAIN
    },
    Scenario {
        name: "timeout",
        what: "a lonely segment is lost, twice",
        teaches: [
            "A single segment is lost, and nothing follows that could tell of it. Only the timer is left: never less than 200 ms on Linux. What it sends is lost as well, and the next wait is longer: every failure makes the sender more patient (RFC 6298).",
            "孤零零的一段丢了，后面没有别的段能说明。只剩定时器：Linux 上至少 200 毫秒。重发的也丢了，下一次就等得更久：每失败一次，发送方就更有耐心（RFC 6298）。",
        ],
        rules: &[(Action::Drop, "client:data:1-3")],
        ..PLAIN
    },
    Scenario {
        name: "tail-loss",
        what: "the last two segments are lost, and a probe finds out",
        teaches: [
            "The last two of four segments are lost: no later one makes the server complain. After two round trips without an answer the client sends the last segment once more, as a probe (RFC 8985), long before its timer would. The answer tells that the one before it is missing too.",
            "四段中的最后两段丢了：后面没有段能让服务器抱怨。两个往返没有回答，客户端就把最后一段当作探测再发一次（RFC 8985），比定时器早得多。回答说明前一段也丢了。",
        ],
        rules: &[(Action::Drop, "client:data:3-4")],
        ends: [Scene(acts::send_four), Scene(acts::confirm_four)],
        ..PLAIN
    },
    Scenario {
        name: "reorder",
        what: "a segment is overtaken by others",
        teaches: [
            "The second segment is late and others overtake it. To the server that looks like a loss, and it says so; if it says so three times, the client repeats what was never lost, and hears by a D-SACK that it was not needed.",
            "第二段晚了，被别的段超过。在服务器看来像是丢失，于是抱怨；抱怨三次，客户端就重发其实没丢的段，并从 D-SACK 得知那是多余的。",
        ],
        rules: &[(Action::Late(Duration::from_millis(8)), "client:data:2")],
        ends: [Scene(acts::send_twenty), Scene(acts::read_all)],
        ..PLAIN
    },
    Scenario {
        name: "duplicate",
        what: "the network delivers a segment twice",
        teaches: [
            "The network delivers one segment twice. The numbers tell the server that it has this already: the program gets it once, and the client is told by a D-SACK.",
            "网络把一段送达两次。编号告诉服务器这已经有了：程序只得到一次，客户端从 D-SACK 得知。",
        ],
        rules: &[(Action::Duplicate, "client:data:1")],
        ..PLAIN
    },
    Scenario {
        name: "corrupt",
        what: "a bit is turned over on the way",
        teaches: [
            "A bit of the first segment is turned over. Its checksum is wrong, so the server throws it away and says nothing: damage is the same as loss, and the timer repairs it.",
            "第一段有一个比特翻转。校验和不对，服务器丢弃它而不说什么：损坏等于丢失，由定时器补救。",
        ],
        rules: &[(Action::Corrupt, "client:data:1")],
        ..PLAIN
    },
    Scenario {
        name: "fin-loss",
        what: "the client's FIN is lost",
        teaches: [
            "A FIN has a number like a byte, so it is repeated like a byte when no ACK comes. Until then the server knows nothing of the end.",
            "FIN 像字节一样占一个编号，所以没有 ACK 时像字节一样重发。在那之前服务器不知道结束了。",
        ],
        rules: &[(Action::Drop, "client:fin:1")],
        ..PLAIN
    },
    Scenario {
        name: "time-wait",
        what: "the last ACK is lost: what TIME-WAIT is for",
        teaches: [
            "The very last ACK is lost. The server cannot know that its FIN has arrived and repeats it. Because the client has kept TIME-WAIT, it is still there to answer; had it forgotten everything, the server would have got an RST.",
            "最后一个 ACK 丢了。服务器不知道自己的 FIN 已到，于是重发。客户端保持着 TIME-WAIT，所以还能回答；如果它忘光了，服务器得到的就是 RST。",
        ],
        rules: &[(Action::Drop, "client:ack:2")],
        ends: [Scene(acts::open), Scene(acts::accept)],
        ..PLAIN
    },
    Scenario {
        name: "zero-window",
        what: "the server does not read for 2.2 s",
        teaches: [
            "The server's program does not read. Its buffer fills, its window shrinks to 0, and the client has to stop, however good the wire is. It asks again and again whether there is room; when the program reads at last, the window opens.",
            "服务器的程序不读。缓冲区满了，窗口缩到 0，线路再好客户端也得停下。它一再询问有没有空位；程序终于读了，窗口才打开。",
        ],
        ends: [Scene(acts::send_too_much), Scene(acts::read_late)],
        ..PLAIN
    },
    Scenario {
        name: "nagle",
        what: "three short writes become two segments",
        teaches: [
            "The client's program writes three times. The first goes out at once; the others wait until it is acknowledged, and leave together: Nagle's algorithm (RFC 9293, section 3.7.4). TCP_NODELAY switches it off.",
            "客户端的程序写了三次。第一次立刻发出；其余的等它得到确认后一起发出：这是 Nagle 算法（RFC 9293 第 3.7.4 节）。TCP_NODELAY 可以关掉它。",
        ],
        ends: [Scene(acts::write_in_pieces), Scene(acts::confirm_pieces)],
        ..PLAIN
    },
    Scenario {
        name: "keepalive",
        what: "nothing to say, but still there",
        teaches: [
            "Nobody says anything, so nobody would notice if the other end were gone. The client asks every second, by a number that was acknowledged long ago; the server cannot but answer.",
            "谁也不说话，对方不在了也没人知道。客户端每秒用早已确认过的编号问一次；服务器不能不答。",
        ],
        ends: [Scene(acts::keep_alive), Scene(acts::read_all)],
        ..PLAIN
    },
    Scenario {
        name: "reset",
        what: "the client breaks the connection off",
        teaches: [
            "The client does not close, it breaks off: an RST instead of a FIN. Nothing is acknowledged, nothing is waited for, and no TIME-WAIT is kept; what was on the way is gone.",
            "客户端不是关闭，而是中断：发 RST 而不是 FIN。不确认，不等待，也没有 TIME-WAIT；路上的数据就没了。",
        ],
        ends: [Scene(acts::break_off), Scene(acts::answer_and_be_left)],
        ..PLAIN
    },
    Scenario {
        name: "reset-unread",
        what: "the server closes without having read",
        teaches: [
            "The server closes while there is something it has not read. A FIN would say that everything went well, so it sends an RST: what you have said was lost.",
            "服务器关闭时还有没读的数据。FIN 等于说一切正常，所以它发 RST：你说的丢了。",
        ],
        ends: [Scene(acts::be_thrown_out), Scene(acts::close_unread)],
        ..PLAIN
    },
    Scenario {
        name: "slow-start",
        what: "400 KiB over a line of 8 Mbit/s: how a sender finds its pace",
        teaches: [
            "The client does not know how much the way can carry, so it begins with ten segments and sends two more for every one that is acknowledged, until the queue before the line is full and something is lost. `sockeye trace stats` draws how fast that is.",
            "客户端不知道线路能承载多少，所以从十段开始，每确认一段就多发两段，直到线路前的队列满了、有段丢失。`sockeye trace stats` 画出速度。",
        ],
        rate: Some(8_000_000),
        ends: [Scene(acts::send_much), Scene(acts::read_all)],
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_rules_that_can_be_read() {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            let others = &SCENARIOS[..index];
            assert!(others.iter().all(|other| other.name != scenario.name));
            assert!(!scenario.what.is_empty());
            assert!(scenario.teaches.iter().all(|text| text.len() > 60));
            let play = scenario.play();
            assert_eq!(
                play.link.rules.len(),
                scenario.rules.len(),
                "{}",
                scenario.name
            );
        }
    }

    #[test]
    fn what_the_issue_names_is_there() {
        for name in [
            "handshake",
            "close",
            "half-close",
            "simultaneous-close",
            "simultaneous-open",
            "syn-loss",
            "fast-retransmit",
            "timeout",
            "zero-window",
            "time-wait",
            "reset",
            "refused",
            "keepalive",
        ] {
            assert!(scenario(name).is_some(), "{name}");
        }
    }
}
