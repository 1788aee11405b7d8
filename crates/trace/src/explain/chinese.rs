//! Explanations in Chinese.

use super::Topic;
use crate::event::How;
use crate::words::groups;

/// The sentence about `topic`: `own` sent the segment to `other`.
pub(super) fn sentence(topic: &Topic, own: &str, other: &str) -> String {
    opening(topic, own, other)
        .or_else(|| data(topic, own, other))
        .or_else(|| trouble(topic, own, other))
        .unwrap_or_else(|| closing(topic, own, other))
}

fn opening(topic: &Topic, own: &str, other: &str) -> Option<String> {
    Some(match topic {
        Topic::Syn { isn, window, mss } => {
            let mss = mss
                .map(|mss| format!("，每段最多 {mss} 字节"))
                .unwrap_or_default();
            format!(
                "{own}用 SYN（同步）打开连接：它的字节从随机选的 {} 开始编号，图中记作 0。它起初能接收 {window} 字节{mss}。",
                groups(&isn.to_string())
            )
        }
        Topic::SynAck { isn, theirs } => format!(
            "{own}同意，并在同一段里打开自己的方向，编号从 {} 开始。ack 1 表示 SYN {} 已收到，接下来等编号 1。",
            groups(&isn.to_string()),
            groups(&theirs.to_string())
        ),
        Topic::Connected { rtt } => {
            format!("第三次握手：现在{other}也知道对方听得见。在这条路上一问一答要 {rtt}。")
        }
        Topic::SynAgain { after } => {
            format!("{after} 内没有回答，{own}重发同一个 SYN。丢的是 SYN 还是回答，它无从知道。")
        }
        Topic::SynUnseen => {
            format!(
                "{own}用 SYN（同步）打开连接，告诉{other}自己的字节从哪里编号。没有人看到这个包，但看到了它的结果。"
            )
        }
        Topic::GaveUp => {
            format!(
                "没有回答也是一种回答：是 SYN 丢了、被防火墙吞掉，还是{other}的机器没有开，{own}无从知道。它不再等，也不发任何包来说明。"
            )
        }
        Topic::Refused => {
            format!("RST（复位）回答了 SYN：{own}的机器在，但没有程序监听这个端口。")
        }
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
                true => "PSH 请对方立刻交给程序。",
                false => "",
            };
            format!(
                "seq {first} 说明这 {len} 个字节的位置：它们是{own}所说的第 {first} 到第 {last} 号。{push}"
            )
        }
        Topic::Ack { ack } => format!(
            "ack {ack} 的意思是：{ack} 号以前的都到了。{other}可以忘掉它们；在此之前必须留着，以便重发。"
        ),
        Topic::KeepAlive { seq } => {
            format!("很久没动静，{own}问{other}还在不在：它发早已确认过的 {seq} 号，引出一个 ACK。")
        }
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
                How::Fast => "重复的 ACK 表明它丢了，不必等定时器",
                How::Probe => "末尾没有得到确认，在定时器到期前用它引出一个 ACK",
                How::Spurious => "其实已经到了，只是发送方还不知道",
                _ => "没有按时等到 ACK，定时器到期后重发",
            };
            format!("{after} 后再发第 {first} 到第 {last} 号：{why}。")
        }
        Topic::DuplicateAck { ack } => {
            format!("又一次 ack {ack}：后面的先到了，缺的仍是 {ack} 号。")
        }
        Topic::Sack { ack, first, last } => format!(
            "又一次 ack {ack}，因为缺 {ack} 号；SACK 补充说第 {first} 到第 {last} 号已经到了。三次之后{other}就重发缺的部分。"
        ),
        Topic::Damaged => format!(
            "路上有一个比特翻转，校验和对不上。{other}默默丢弃这一段：对{own}来说和丢失一样。"
        ),
        Topic::ReadLate { after } => format!(
            "{other}的内核一收到就接下并确认了它。程序当时在忙别的，{after} 后才来取：这段时间它留在套接字的接收缓冲区里。"
        ),
        Topic::DuplicateSack => format!("{own}报告有些字节到了两次：那次重发并不需要。"),
        Topic::WindowFull => format!("{other}愿意接收的都已在路上，{own}得等 ACK。"),
        Topic::ZeroWindow => format!("窗口为 0：{own}的程序不读，缓冲区满了，{other}必须停下。"),
        Topic::Probe => format!("打开窗口的 ACK 可能会丢，所以{own}隔一段时间就问有没有空位。"),
        Topic::WindowUpdate { window } => format!("程序读了数据：{own}又能接收 {window} 字节。"),
        _ => return None,
    })
}

fn closing(topic: &Topic, own: &str, other: &str) -> String {
    match topic {
        Topic::Fin { seq } => {
            format!(
                "FIN：{own}说完了。FIN 自己占一个编号 {seq}，像字节一样要被确认。{own}仍然在听。"
            )
        }
        Topic::FinAcked { ack, half } => {
            let half = match half {
                true => format!("{own}还可以继续说：连接半关闭。"),
                false => String::new(),
            };
            format!("ack {ack} 比 FIN 的编号大 1：FIN 已收到。{half}")
        }
        Topic::SecondFin { seq, both } => {
            let both = match both {
                true => "同一段也确认了对方的 FIN，所以三段就关闭，而不是四段。",
                false => "",
            };
            format!("{own}也说完了，它的 FIN 是 {seq} 号。{both}")
        }
        Topic::LastAck { ack } => format!(
            "最后一句：ack {ack} 确认第二个 FIN。发它的一端保持 TIME-WAIT 一段时间（Linux 为 60 秒），以防它丢了而{other}重发 FIN。"
        ),
        Topic::FinAgain => format!(
            "{own}没听到最后的 ACK，重发 FIN。处于 TIME-WAIT 的{other}还能再回答：这正是 TIME-WAIT 的用处。"
        ),
        Topic::OpenAtOnce => "两端都在听到对方之前发了 SYN。各自用同一个 SYN 加 ACK 回答，成为一个连接：没有客户端和服务器之分。".to_owned(),
        Topic::AtOnce => "两个 FIN 同时在路上：两端都经 CLOSING 到 TIME-WAIT。".to_owned(),
        Topic::Rst { answers_data } => {
            let why = match answers_data {
                true => "程序在还有未读数据时关闭，或主动要求，就会这样。",
                false => "",
            };
            format!("RST：{own}立刻放弃连接，不再确认，也不再等待。{why}")
        }
        _ => String::new(),
    }
}
