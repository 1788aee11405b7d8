//! Sockets with their options set: what listening and dialing have in common.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::error::{Error, Operation, Result};

pub(crate) mod slot;
pub(crate) mod unix;

/// Socket options, by their BSD names. `None` leaves what the system has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// `SO_REUSEADDR`. On for TCP listeners unless told otherwise, so that a server can come back while
    /// connections of the one before are in TIME-WAIT (RFC 9293, section 3.6.1). Off for UDP, where on
    /// Linux it would let a second program take over the port.
    pub reuse_address: Option<bool>,
    /// `SO_REUSEPORT`: several processes share the port and the kernel spreads the peers among them.
    pub reuse_port: bool,
    /// How many connections may wait to be accepted (the second argument of `listen`). Default 4096.
    pub backlog: Option<u32>,
    /// `TCP_NODELAY`. On unless told otherwise: a message leaves when it is sent.
    pub nodelay: Option<bool>,
    /// `SO_KEEPALIVE` with its times.
    pub keepalive: Option<Keepalive>,
    /// `SO_RCVBUF` in bytes.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` in bytes.
    pub send_buffer: Option<usize>,
    /// `IP_TTL` and `IPV6_UNICAST_HOPS`.
    pub ttl: Option<u32>,
    /// `SO_BROADCAST`.
    pub broadcast: bool,
    /// `IP_ADD_MEMBERSHIP` and `IPV6_JOIN_GROUP`.
    pub join: Vec<Membership>,
    /// `IP_MULTICAST_IF` and `IPV6_MULTICAST_IF`: which interface multicast leaves by.
    pub multicast_interface: Option<String>,
    /// `IP_MULTICAST_LOOP`: whether we hear our own multicast.
    pub multicast_loop: Option<bool>,
    /// `IP_MULTICAST_TTL` and `IPV6_MULTICAST_HOPS`.
    pub multicast_ttl: Option<u32>,
    /// `SO_BINDTODEVICE`: only this interface.
    pub device: Option<String>,
    /// `IPV6_V6ONLY`. Off for `[::]` unless told otherwise: one socket hears both families.
    pub only_v6: Option<bool>,
    /// `TCP_CONGESTION`: the congestion control, such as `cubic` or `reno`. When `None`, `reno` on loopback
    /// addresses and the system's choice elsewhere.
    pub congestion: Option<String>,
}

/// When the kernel asks a silent TCP peer whether it is still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`: silence before the first probe.
    pub idle: Option<Duration>,
    /// `TCP_KEEPINTVL`: time between probes.
    pub interval: Option<Duration>,
    /// `TCP_KEEPCNT`: unanswered probes before the connection is given up.
    pub count: Option<u32>,
}

/// A multicast group to join, and on which interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group's address.
    pub group: IpAddr,
    /// An interface's name (`eth0`) or IPv4 address; the system's choice when `None`.
    pub interface: Option<String>,
}

/// What a socket is for: some options make sense only on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Listen,
    Dial,
}

const BACKLOG: u32 = 4096;

impl SocketOptions {
    pub(crate) fn backlog(&self) -> u32 {
        self.backlog.unwrap_or(BACKLOG)
    }

    /// A TCP socket for `address`, not bound yet.
    pub(crate) fn tcp(&self, address: SocketAddr, role: Role) -> Result<Socket> {
        let socket = self.open(address, Type::STREAM, Protocol::TCP, role)?;
        let set = Setter { address };
        if role == Role::Listen {
            set.option(
                "SO_REUSEADDR",
                socket.set_reuse_address(self.reuse_address.unwrap_or(true)),
            )?;
        }
        set.option(
            "TCP_NODELAY",
            socket.set_tcp_nodelay(self.nodelay.unwrap_or(true)),
        )?;
        if let Some(keepalive) = &self.keepalive {
            set.option(
                "SO_KEEPALIVE",
                socket.set_tcp_keepalive(&keepalive.params()),
            )?;
        }
        match &self.congestion {
            Some(name) => {
                let chosen = socket.set_tcp_congestion(name.as_bytes());
                set.option("TCP_CONGESTION", chosen)?;
            }
            // Between two programs of one machine there is no path to probe, and pacing (BBR) only costs.
            // Where the system does not offer it, its own choice serves as well.
            None if address.ip().to_canonical().is_loopback() => {
                let _ = socket.set_tcp_congestion(b"reno");
            }
            None => {}
        }
        Ok(socket)
    }

    /// A UDP socket for `address`, not bound yet.
    pub(crate) fn udp(&self, address: SocketAddr, role: Role) -> Result<Socket> {
        let socket = self.open(address, Type::DGRAM, Protocol::UDP, role)?;
        let set = Setter { address };
        if self.broadcast {
            set.option("SO_BROADCAST", socket.set_broadcast(true))?;
        }
        if let Some(on) = self.multicast_loop {
            set.option(
                "IP_MULTICAST_LOOP",
                self.for_family(
                    address,
                    role,
                    || socket.set_multicast_loop_v4(on),
                    || socket.set_multicast_loop_v6(on),
                ),
            )?;
        }
        if let Some(ttl) = self.multicast_ttl {
            set.option(
                "IP_MULTICAST_TTL",
                self.for_family(
                    address,
                    role,
                    || socket.set_multicast_ttl_v4(ttl),
                    || socket.set_multicast_hops_v6(ttl),
                ),
            )?;
        }
        if let Some(name) = &self.multicast_interface {
            set.option(
                "IP_MULTICAST_IF",
                self.for_family(
                    address,
                    role,
                    || multicast_leaves_by_v4(&socket, name),
                    || socket.set_multicast_if_v6(interface_index(name)?),
                ),
            )?;
        }
        for membership in &self.join {
            set.option("IP_ADD_MEMBERSHIP", membership.join(&socket))?;
        }
        Ok(socket)
    }

    fn open(
        &self,
        address: SocketAddr,
        kind: Type,
        protocol: Protocol,
        role: Role,
    ) -> Result<Socket> {
        let set = Setter { address };
        let opened = Socket::new(
            Domain::for_address(address),
            kind.nonblocking(),
            Some(protocol),
        );
        let operation = if role == Role::Listen {
            Operation::Listen
        } else {
            Operation::Connect
        };
        let socket = opened.map_err(|source| Error::io(operation, address, source))?;
        if let Some(on) = self.reuse_address {
            set.option("SO_REUSEADDR", socket.set_reuse_address(on))?;
        }
        if self.reuse_port {
            set.option("SO_REUSEPORT", socket.set_reuse_port(true))?;
        }
        if address.is_ipv6() && role == Role::Listen {
            set.option(
                "IPV6_V6ONLY",
                socket.set_only_v6(self.only_v6.unwrap_or(false)),
            )?;
        }
        if let Some(size) = self.receive_buffer {
            set.option("SO_RCVBUF", socket.set_recv_buffer_size(size))?;
        }
        if let Some(size) = self.send_buffer {
            set.option("SO_SNDBUF", socket.set_send_buffer_size(size))?;
        }
        if let Some(ttl) = self.ttl {
            set.option(
                "IP_TTL",
                self.for_family(
                    address,
                    role,
                    || socket.set_ttl_v4(ttl),
                    || socket.set_unicast_hops_v6(ttl),
                ),
            )?;
        }
        if let Some(device) = &self.device {
            set.option(
                "SO_BINDTODEVICE",
                socket.bind_device(Some(device.as_bytes())),
            )?;
        }
        Ok(socket)
    }

    /// Sets an option that has a form for each family. A listener that hears both needs both.
    fn for_family(
        &self,
        address: SocketAddr,
        role: Role,
        v4: impl FnOnce() -> io::Result<()>,
        v6: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if address.is_ipv4() {
            return v4();
        }
        v6()?;
        match role == Role::Listen && self.only_v6 != Some(true) {
            true => v4(),
            false => Ok(()),
        }
    }
}

impl Keepalive {
    fn params(self) -> TcpKeepalive {
        let mut params = TcpKeepalive::new();
        if let Some(idle) = self.idle {
            params = params.with_time(idle);
        }
        if let Some(interval) = self.interval {
            params = params.with_interval(interval);
        }
        if let Some(count) = self.count {
            params = params.with_retries(count);
        }
        params
    }
}

impl Membership {
    fn join(&self, socket: &Socket) -> io::Result<()> {
        match self.group {
            IpAddr::V4(group) => {
                let interface = match self.interface.as_deref() {
                    None => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                    Some(name) => match name.parse() {
                        Ok(address) => InterfaceIndexOrAddress::Address(address),
                        Err(_) => InterfaceIndexOrAddress::Index(interface_index(name)?),
                    },
                };
                socket.join_multicast_v4_n(&group, &interface)
            }
            IpAddr::V6(group) => {
                let index = self.interface.as_deref().map_or(Ok(0), interface_index)?;
                socket.join_multicast_v6(&group, index)
            }
        }
    }
}

struct Setter {
    address: SocketAddr,
}

impl Setter {
    fn option(&self, name: &'static str, result: io::Result<()>) -> Result<()> {
        result.map_err(|source| Error::io(Operation::Configure(name), self.address, source))
    }
}

pub(crate) fn bind(socket: &Socket, address: SocketAddr) -> Result<()> {
    socket
        .bind(&SockAddr::from(address))
        .map_err(|source| Error::io(Operation::Listen, address, source))
}

/// The number of the network interface called `name`.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    if let Ok(index) = name.parse() {
        return Ok(index);
    }
    let probe = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(&probe, name).map_err(Into::into)
}

/// IPv4 names the interface by its address or, in a second form, by its number.
fn multicast_leaves_by_v4(socket: &Socket, name: &str) -> io::Result<()> {
    if let Ok(address) = name.parse() {
        return socket.set_multicast_if_v4(&address);
    }
    let index = interface_index(name)?;
    let any = Ipv4Addr::UNSPECIFIED;
    rustix::net::sockopt::set_ip_multicast_if_with_ifindex(socket, &any, &any, index)?;
    Ok(())
}

/// Room for a burst of datagrams in the kernel, unless told otherwise: the default of some 200 KiB loses datagrams
/// at rates that one core can serve.
pub(crate) const DATAGRAM_BUFFER: usize = 4 * 1024 * 1024;

/// The largest UDP payload over IPv4: RFC 768 and RFC 791 leave 65,507 bytes.
pub(crate) const LARGEST_V4: usize = 65_507;

/// The largest over IPv6, whose length field does not count the header (RFC 8200).
pub(crate) const LARGEST_V6: usize = 65_527;

/// The largest UDP payload that can go to `peer`. What looks like IPv4 in IPv6 travels as IPv4.
pub(crate) fn largest_datagram(peer: SocketAddr) -> usize {
    if peer.ip().to_canonical().is_ipv4() {
        LARGEST_V4
    } else {
        LARGEST_V6
    }
}

/// The address to bind when a dialed peer at `peer` was given none.
pub(crate) fn any_address(peer: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    SocketAddr::new(ip, 0)
}
