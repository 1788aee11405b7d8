//! Socket options, with the BSD names in the help.

use std::time::Duration;

use clap::Args;
use sockeye::{Keepalive, Membership, SocketOptions};

use super::values::{size, switch, time};

/// Socket options of both ends.
#[derive(Debug, Args)]
#[command(next_help_heading = "Socket options")]
pub(crate) struct SocketArgs {
    /// SO_REUSEADDR: take a port whose last connections are in TIME-WAIT [default: on for TCP listeners]
    #[arg(long, value_name = "on|off", value_parser = switch)]
    reuseaddr: Option<bool>,
    /// SO_REUSEPORT: share the port with other processes that also say so
    #[arg(long)]
    reuseport: bool,
    /// How many connections may wait to be accepted (listen(2)) [default: 4096]
    #[arg(long, value_name = "N")]
    backlog: Option<u32>,
    /// TCP_NODELAY: send each message at once [default: on]
    #[arg(long, value_name = "on|off", value_parser = switch)]
    nodelay: Option<bool>,
    /// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT: probe a silent peer
    #[arg(long, value_name = "IDLE[,INTERVAL[,COUNT]]", value_parser = keepalive)]
    keepalive: Option<Keepalive>,
    /// SO_RCVBUF: bytes the kernel keeps of what came
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rcvbuf: Option<usize>,
    /// SO_SNDBUF: bytes the kernel keeps of what is to go
    #[arg(long, value_name = "SIZE", value_parser = size)]
    sndbuf: Option<usize>,
    /// IP_TTL, IPV6_UNICAST_HOPS: how many routers a packet may pass
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    ttl: Option<u32>,
    /// SO_BROADCAST: allow sending to a broadcast address
    #[arg(long)]
    broadcast: bool,
    /// IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP: hear a multicast group (repeatable)
    #[arg(long, value_name = "GROUP[%INTERFACE]", value_parser = membership)]
    join: Vec<Membership>,
    /// IP_MULTICAST_IF, IPV6_MULTICAST_IF: the interface that multicast leaves by
    #[arg(long, value_name = "INTERFACE")]
    multicast_if: Option<String>,
    /// IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP: hear one's own multicast
    #[arg(long, value_name = "on|off", value_parser = switch)]
    multicast_loop: Option<bool>,
    /// IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS: how many routers multicast may pass
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=255))]
    multicast_ttl: Option<u32>,
    /// SO_BINDTODEVICE: use only this network interface
    #[arg(long, value_name = "INTERFACE")]
    bind_device: Option<String>,
    /// IPV6_V6ONLY: an IPv6 socket does not hear IPv4 [default: off]
    #[arg(long, value_name = "on|off", value_parser = switch)]
    v6only: Option<bool>,
    /// TCP_CONGESTION: the congestion control, such as cubic or bbr [default: reno on loopback]
    #[arg(long, value_name = "NAME")]
    congestion: Option<String>,
}

impl SocketArgs {
    /// Whether everyone on the network may be meant.
    pub(crate) fn broadcasts(&self) -> bool {
        self.broadcast
    }

    pub(crate) fn options(&self) -> SocketOptions {
        let mut options = SocketOptions::default();
        options.reuse_address = self.reuseaddr;
        options.reuse_port = self.reuseport;
        options.backlog = self.backlog;
        options.nodelay = self.nodelay;
        options.keepalive = self.keepalive;
        options.receive_buffer = self.rcvbuf;
        options.send_buffer = self.sndbuf;
        options.ttl = self.ttl;
        options.broadcast = self.broadcast;
        options.join = self.join.clone();
        options.multicast_interface = self.multicast_if.clone();
        options.multicast_loop = self.multicast_loop;
        options.multicast_ttl = self.multicast_ttl;
        options.device = self.bind_device.clone();
        options.only_v6 = self.v6only;
        options.congestion = self.congestion.clone();
        options
    }
}

fn keepalive(text: &str) -> Result<Keepalive, String> {
    let mut parts = text.split(',');
    let whole = |part: Option<&str>| match part.map(time).transpose()? {
        // The kernel counts in seconds (tcp(7)).
        Some(time) if time < Duration::from_secs(1) => {
            Err("keepalive times are whole seconds".to_owned())
        }
        time => Ok(time),
    };
    let idle = whole(parts.next())?;
    let interval = whole(parts.next())?;
    let count = parts
        .next()
        .map(|n| n.parse().map_err(|_| "COUNT is a number".to_owned()))
        .transpose()?;
    match parts.next() {
        Some(_) => Err("write IDLE, IDLE,INTERVAL or IDLE,INTERVAL,COUNT".to_owned()),
        None => Ok(Keepalive {
            idle,
            interval,
            count,
        }),
    }
}

fn membership(text: &str) -> Result<Membership, String> {
    let (group, interface) = text
        .split_once('%')
        .map_or((text, None), |(group, name)| (group, Some(name)));
    let group: std::net::IpAddr = group
        .parse()
        .map_err(|_| "write a group such as 239.1.2.3".to_owned())?;
    if !group.is_multicast() {
        return Err(format!(
            "{group} is no multicast address (224.0.0.0/4, ff00::/8)"
        ));
    }
    Ok(Membership {
        group,
        interface: interface.map(str::to_owned),
    })
}
