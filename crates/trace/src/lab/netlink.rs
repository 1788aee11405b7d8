//! The interfaces of the lab, made through rtnetlink: pairs of them, their addresses, and who is their neighbour.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sys::socket::{
    AddressFamily as Family, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// Talks about the interfaces of the network in which it was made.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(super) fn new() -> io::Result<Self> {
        let socket = socket(
            Family::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket })
    }

    /// A pair of interfaces: `name` is here, `peer`, with an address of its own, in another network.
    pub(super) fn pair(
        &self,
        name: &str,
        peer: (&str, &[u8; 6]),
        network: &impl AsFd,
    ) -> io::Result<()> {
        let mut there = LinkMessage::default();
        there.attributes = vec![
            LinkAttribute::IfName(peer.0.to_owned()),
            LinkAttribute::Address(peer.1.to_vec()),
            LinkAttribute::NetNsFd(network.as_fd().as_raw_fd()),
        ];
        let mut here = LinkMessage::default();
        here.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(there))),
            ]),
        ];
        self.ask(
            RouteNetlinkMessage::NewLink(here),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Starts an interface. `whole`: it takes packets of any size that the kernel would cut for it only later, so
    /// that is forbidden, and what is seen of them is what would cross a cable.
    pub(super) fn start(&self, index: u32, whole: bool) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        if whole {
            link.attributes.push(LinkAttribute::GsoMaxSegs(1));
        }
        self.ask(RouteNetlinkMessage::SetLink(link), 0)
    }

    pub(super) fn address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(address.into()),
            AddressAttribute::Address(address.into()),
        ];
        self.ask(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE)
    }

    /// Nobody has to ask who that is: the question and its answer would double the first round trip.
    pub(super) fn neighbour(
        &self,
        index: u32,
        address: Ipv4Addr,
        hardware: &[u8; 6],
    ) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
            NeighbourAttribute::LinkLayerAddress(hardware.to_vec()),
        ];
        self.ask(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length])
            .map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
        }
    }
}
