//! Who looks at the wire from a page: each flow as it goes on, to those who may see it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use sockeye::{Course, ViewKey, Viewer};
use trace::{Flow, Live, Sight, Transport, json_head, json_packets};

/// As many look at once.
pub(super) const MOST: usize = 64;

/// Packets that one who looks is told of in a second. A page draws no more, and nobody reads them.
const RATE: usize = 1_000;

/// After so long an empty line is sent, because only what cannot be sent shows that somebody is gone.
const SILENCE: Duration = Duration::from_secs(15);

/// How often they are told how many they were not told of.
const CONFESSION: Duration = Duration::from_millis(200);

/// Who comes late is told so much of each flow that goes on, and of so many flows.
const PACKETS_BEFORE: usize = 200;
const FLOWS_BEFORE: usize = 64;

/// Which flow a connection is, is looked for among so many, for so long: its packets are seen a moment after its
/// program hears of it.
const AMONG: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(1);

/// As many flows are known to be somebody's.
const KNOWN: usize = 4_096;

/// All who look.
pub(super) struct Gallery {
    sight: Sight,
    seats: Vec<Seat>,
    /// Flows that carry what is told here: drawn, each row would make the next one.
    carriers: HashSet<usize>,
    owners: HashMap<usize, ViewKey>,
    /// Claims of which the flow is not seen yet.
    claims: Vec<Claim>,
}

/// That a connection is somebody's.
struct Claim {
    course: Course,
    key: ViewKey,
    /// When the connection said it, in nanoseconds since 1970.
    said: u64,
    since: Instant,
}

/// One who looks.
pub(super) struct Seat {
    viewer: Viewer,
    /// That they are there counts while this is held.
    _place: Arc<()>,
    since: Instant,
    heard: Instant,
    /// They are told of nothing before their own flow is known.
    has_begun: bool,
    /// How many packets of each flow they were told of, or were not but are counted.
    told: HashMap<usize, usize>,
    /// Flows that there was no room to tell of.
    put_off: Vec<usize>,
    /// Packets that they were not told of.
    missed: usize,
    confessed: Instant,
    /// Packets in this second.
    lately: (Instant, usize),
}

impl Seat {
    pub(super) fn new(viewer: Viewer, place: Arc<()>) -> Self {
        let now = Instant::now();
        Self {
            viewer,
            _place: place,
            since: now,
            heard: now,
            has_begun: false,
            told: HashMap::new(),
            put_off: Vec::new(),
            missed: 0,
            confessed: now,
            lately: (now, 0),
        }
    }

    fn owns(&self, owner: Option<&ViewKey>) -> bool {
        owner.is_some() && self.viewer.key.as_ref() == owner
    }

    /// Whether `count` packets more are not too many for this second.
    fn has_time(&mut self, count: usize, now: Instant) -> bool {
        if now.duration_since(self.lately.0) >= Duration::from_secs(1) {
            self.lately = (now, 0);
        }
        self.lately.1 += count;
        self.lately.1 <= RATE
    }

    /// Tells how many packets they were not told of. Whether nothing is left to be told.
    fn confess(&mut self) -> bool {
        if self.missed > 0 && self.viewer.put(missed(self.missed)) {
            self.missed = 0;
        }
        self.missed == 0
    }
}

impl Gallery {
    pub(super) fn new(sight: Sight) -> Self {
        Self {
            sight,
            seats: Vec::new(),
            carriers: HashSet::new(),
            owners: HashMap::new(),
            claims: Vec::new(),
        }
    }

    pub(super) fn enter(&mut self, seat: Seat) {
        self.seats.push(seat);
    }

    pub(super) fn claim(&mut self, course: Course, key: ViewKey, said: u64) {
        if self.claims.len() < KNOWN {
            self.claims.push(Claim {
                course,
                key,
                said,
                since: Instant::now(),
            });
        }
    }

    /// Tells everyone what is new. `fresh`: flows of which something was heard.
    pub(super) fn show(&mut self, live: &Live, fresh: &[usize]) {
        if self.seats.is_empty() && self.claims.is_empty() {
            return;
        }
        let now = Instant::now();
        self.seats.retain(|seat| !seat.viewer.has_left());
        self.forget(live);
        let mut news: Vec<usize> = self.begin(live, now);
        news.extend(self.settle(live, now));
        for seat in &mut self.seats {
            news.append(&mut seat.put_off);
        }
        news.extend(fresh);
        news.sort_unstable();
        news.dedup();
        for number in news {
            if let Some(flow) = live.flows().get(number) {
                self.tell(live, number, flow, now);
            }
        }
        for seat in &mut self.seats {
            if now.duration_since(seat.heard) >= SILENCE {
                seat.heard = now;
                seat.viewer.put(Bytes::from_static(b"\n"));
            }
            if seat.missed > 0 && now.duration_since(seat.confessed) >= CONFESSION {
                seat.confessed = now;
                seat.confess();
            }
        }
    }

    /// Flows that are over are nobody's.
    fn forget(&mut self, live: &Live) {
        let goes_on = |number: usize| live.flows().get(number).is_some_and(Flow::goes_on);
        if self.owners.len() > KNOWN {
            self.owners.retain(|number, _| goes_on(*number));
        }
        if self.carriers.len() > KNOWN {
            self.carriers.retain(|number| goes_on(*number));
        }
        for seat in self.seats.iter_mut().filter(|seat| seat.told.len() > KNOWN) {
            seat.told.retain(|number, _| goes_on(*number));
        }
    }

    /// Those who have come: what was before they came they are told now. Gives the flows to tell of.
    fn begin(&mut self, live: &Live, now: Instant) -> Vec<usize> {
        let Self {
            sight,
            seats,
            carriers,
            ..
        } = self;
        let mut begins = false;
        seats.retain_mut(|seat| {
            if seat.has_begun {
                return true;
            }
            let course = seat.viewer.course;
            let own = course.and_then(|course| find(live, course, u64::MAX));
            carriers.extend(own);
            let is_apart = course.is_none() || own.is_some();
            let late = now.duration_since(seat.since) >= PATIENCE;
            if is_apart || late {
                seat.viewer.put(head(*sight, &seat.viewer, is_apart));
            }
            seat.has_begun = is_apart;
            begins |= is_apart;
            is_apart || !late
        });
        if !begins {
            return Vec::new();
        }
        let flows = live.flows().newest().take(AMONG);
        let flows = flows.filter(|(_, flow)| !flow.events.is_empty());
        let flows = flows.take(FLOWS_BEFORE);
        flows.map(|(number, _)| number).collect()
    }

    /// Claims whose flows are seen. Gives these.
    fn settle(&mut self, live: &Live, now: Instant) -> Vec<usize> {
        let mut news = Vec::new();
        let Self {
            claims,
            owners,
            seats,
            ..
        } = self;
        claims.retain(|claim| {
            let Some(number) = find(live, claim.course, claim.said) else {
                return now.duration_since(claim.since) < PATIENCE;
            };
            let is_new = owners.insert(number, claim.key) != Some(claim.key);
            for seat in seats.iter().filter(|_| is_new) {
                if seat.owns(Some(&claim.key)) && seat.told.contains_key(&number) {
                    seat.viewer.put(yours(number));
                }
            }
            news.push(number);
            false
        });
        news
    }

    /// Tells of one flow, to each who may see it, what they were not told yet.
    fn tell(&mut self, live: &Live, number: usize, flow: &Flow, now: Instant) {
        if self.carriers.contains(&number) {
            return;
        }
        let owner = self.owners.get(&number);
        // Most have heard the same before.
        let mut made: Option<(usize, Bytes)> = None;
        for seat in self.seats.iter_mut().filter(|seat| seat.has_begun) {
            let owns = seat.owns(owner);
            if !(owns || seat.viewer.sees_all) {
                continue;
            }
            let count = flow.rows();
            let from = match seat.told.get(&number) {
                Some(told) => *told,
                None => {
                    let from = count.saturating_sub(PACKETS_BEFORE);
                    let mut head = json_head(flow, number, live.started()).into_bytes();
                    if owns {
                        head.extend_from_slice(&yours(number));
                    }
                    if !seat.confess() || !seat.viewer.put(head.into()) {
                        seat.put_off.push(number);
                        continue;
                    }
                    seat.missed += from;
                    from
                }
            };
            seat.told.insert(number, count.max(from));
            let more = count.saturating_sub(from);
            if more == 0 {
                continue;
            }
            seat.heard = now;
            let fits = seat.has_time(more, now) && seat.confess();
            let packets = match &made {
                Some((same, packets)) if *same == from => packets.clone(),
                _ => Bytes::from(json_packets(flow, number, from)),
            };
            if !fits || !seat.viewer.put(packets.clone()) {
                seat.missed += more;
            }
            made = Some((from, packets));
        }
    }
}

/// The latest flow between these ends that goes on, or has gone on until `then`, in nanoseconds since 1970: what is over before
/// it is looked at may be all of a connection.
fn find(live: &Live, course: Course, then: u64) -> Option<usize> {
    let started = live.started().unwrap_or(0);
    let went_on = |flow: &Flow| {
        let last = flow.events.last();
        last.is_some_and(|last| started.saturating_add_signed(last.time) >= then)
    };
    let is_it = |flow: &Flow| {
        let carried = match flow.transport {
            Transport::Udp => course.is_quic,
            Transport::Tcp | Transport::Stream => !course.is_quic,
        };
        let peer = super::wanted::canonical(course.peer);
        let port = course.local.port();
        let [a, b] = flow.ends;
        // A socket of all interfaces has no address of its own.
        let ends = (a == peer && b.port() == port) || (b == peer && a.port() == port);
        carried && ends && (flow.goes_on() || went_on(flow))
    };
    let mut flows = live.flows().newest().take(AMONG);
    flows.find_map(|(number, flow)| is_it(flow).then_some(number))
}

/// The first line. A view that cannot be left out of itself is told nothing more.
fn head(sight: Sight, viewer: &Viewer, is_apart: bool) -> Bytes {
    let sees = match (is_apart, viewer.sees_all) {
        (false, _) => "none",
        (true, true) => "all",
        (true, false) => "own",
    };
    let left_out = viewer.course.filter(|_| is_apart);
    line(&json!({
        "v": 1,
        "event": "view",
        "sight": sight.name(),
        "sees": sees,
        "left_out": left_out.map(|course| course.peer.to_string()),
    }))
}

fn line(object: &serde_json::Value) -> Bytes {
    format!("{object}\n").into()
}

fn missed(count: usize) -> Bytes {
    line(&json!({"v": 1, "event": "missed", "packets": count}))
}

fn yours(number: usize) -> Bytes {
    line(&json!({"v": 1, "event": "yours", "flow": number}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use serde_json::Value;
    use sockeye::Body;
    use std::net::SocketAddr;
    use wire::packet::{RAW, datagram};

    const PORT: &str = "192.0.2.1:3000";

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    /// Datagrams of these peers to our port, one each.
    fn hear(live: &mut Live, peers: &[&str]) -> Vec<usize> {
        for (index, peer) in peers.iter().enumerate() {
            let data = datagram(at(peer), at(PORT), b"hi").unwrap();
            live.packet(RAW, 1_000_000_000 + index as u64, &data);
        }
        live.fresh()
    }

    fn live() -> Live {
        Live::new(Sight::Packets, |_, _| true)
    }

    fn course(peer: &str) -> Course {
        Course {
            local: at(PORT),
            peer: at(peer),
            is_quic: true,
        }
    }

    fn key(letter: &str) -> ViewKey {
        ViewKey::read(&letter.repeat(16)).unwrap()
    }

    /// One who looks, by a connection that packets do not show.
    fn seat(key: Option<ViewKey>, sees_all: bool) -> (Seat, Body) {
        let (viewer, body) = Viewer::new(None, key, sees_all);
        (Seat::new(viewer, Arc::default()), body)
    }

    /// What they were told so far, with the view put away.
    async fn told(gallery: Gallery, mut body: Body) -> Vec<Value> {
        drop(gallery);
        let mut all = Vec::new();
        while let Some(data) = body.data().await {
            all.extend_from_slice(&data.unwrap());
        }
        lines(all)
    }

    fn lines(bytes: Vec<u8>) -> Vec<Value> {
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    fn events(lines: &[Value]) -> Vec<(&str, Option<u64>)> {
        let named = lines.iter();
        named
            .map(|line| (line["event"].as_str().unwrap(), line["flow"].as_u64()))
            .collect()
    }

    #[tokio::test]
    async fn who_comes_late_is_told_what_was_and_then_what_is_new() {
        let (mut live, mut gallery) = (live(), Gallery::new(Sight::Packets));
        let fresh = hear(&mut live, &["192.0.2.8:1", "192.0.2.9:2"]);
        gallery.show(&live, &fresh);
        let (seat, body) = seat(None, true);
        gallery.enter(seat);
        gallery.show(&live, &[]);
        let fresh = hear(&mut live, &["192.0.2.9:2"]);
        gallery.show(&live, &fresh);
        gallery.show(&live, &[]);
        let lines = told(gallery, body).await;
        let expected = [
            ("view", None),
            ("flow", Some(0)),
            ("packet", Some(0)),
            ("flow", Some(1)),
            ("packet", Some(1)),
            ("packet", Some(1)),
        ];
        assert_eq!(events(&lines), expected);
        assert_eq!(lines[0]["sees"], "all");
        assert_eq!(lines[5]["frame"], 3);
    }

    #[tokio::test]
    async fn strangers_see_what_is_theirs_and_nothing_else() {
        let (mut live, mut gallery) = (live(), Gallery::new(Sight::Packets));
        let (mine, theirs) = (key("a"), key("b"));
        let (seat, body) = seat(Some(mine), false);
        gallery.enter(seat);
        // One claim comes before the first packet is seen, the other after it.
        gallery.claim(course("192.0.2.8:1"), mine, 0);
        gallery.show(&live, &[]);
        let peers = ["192.0.2.8:1", "192.0.2.9:2", "192.0.2.7:3"];
        let fresh = hear(&mut live, &peers);
        gallery.show(&live, &fresh);
        gallery.claim(course("192.0.2.9:2"), theirs, 0);
        gallery.show(&live, &[]);
        let fresh = hear(&mut live, &peers);
        gallery.show(&live, &fresh);
        let lines = told(gallery, body).await;
        let expected = [
            ("view", None),
            ("flow", Some(0)),
            ("yours", Some(0)),
            ("packet", Some(0)),
            ("packet", Some(0)),
        ];
        assert_eq!(events(&lines), expected);
        assert_eq!(lines[0]["sees"], "own");
    }

    /// A segment without content.
    fn segment(from: &str, to: &str, flags: u8, [seq, ack]: [u32; 2]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        let ends = [from, to].map(|end| end.parse::<std::net::SocketAddrV4>().unwrap());
        packet.extend(ends.map(|end| end.ip().octets()).concat());
        packet.extend(ends.map(|end| end.port().to_be_bytes()).concat());
        packet.extend(seq.to_be_bytes());
        packet.extend(ack.to_be_bytes());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet
    }

    /// All packets of a connection, from its handshake to its close, in this second of 1970.
    fn visit(live: &mut Live, peer: &str, second: u64) -> Vec<usize> {
        let [fin, syn, ack] = [1, 2, 16];
        let said = [
            (peer, PORT, syn, [100, 0]),
            (PORT, peer, syn | ack, [300, 101]),
            (peer, PORT, ack, [101, 301]),
            (peer, PORT, fin | ack, [101, 301]),
            (PORT, peer, fin | ack, [301, 102]),
            (peer, PORT, ack, [102, 302]),
        ];
        for (from, to, flags, numbers) in said {
            // Each connection has numbers of its own.
            let numbers = numbers.map(|number| number + 10_000 * second as u32);
            let data = segment(from, to, flags, numbers);
            live.packet(RAW, second * 1_000_000_000, &data);
        }
        live.fresh()
    }

    #[tokio::test]
    async fn who_has_hung_up_before_it_was_looked_at_is_known_and_who_was_there_earlier_is_not() {
        let (mut live, mut gallery) = (live(), Gallery::new(Sight::Packets));
        let mine = key("a");
        let (seat, body) = seat(Some(mine), false);
        gallery.enter(seat);
        let tcp = Course {
            is_quic: false,
            ..course("192.0.2.8:1")
        };
        let earlier = visit(&mut live, "192.0.2.8:1", 1);
        gallery.show(&live, &earlier);
        assert!(!live.flows().get(0).unwrap().goes_on(), "it is over");
        gallery.claim(tcp, mine, 5_000_000_000);
        gallery.show(&live, &[]);
        let fresh = visit(&mut live, "192.0.2.8:1", 5);
        gallery.show(&live, &fresh);
        let lines = told(gallery, body).await;
        let expected = [("view", None), ("flow", Some(1)), ("yours", Some(1))];
        assert_eq!(events(&lines)[..3], expected);
        assert_eq!(lines.len(), 3 + 6, "{lines:?}");
    }

    #[tokio::test]
    async fn a_connection_that_carries_a_view_is_in_no_view() {
        let (mut live, mut gallery) = (live(), Gallery::new(Sight::Packets));
        let (looking, first) = Viewer::new(Some(course("192.0.2.8:1")), None, true);
        gallery.enter(Seat::new(looking, Arc::default()));
        let (other, second) = seat(None, true);
        gallery.enter(other);
        let peers = ["192.0.2.8:1", "192.0.2.9:2"];
        for _ in 0..3 {
            let fresh = hear(&mut live, &peers);
            gallery.show(&live, &fresh);
        }
        let (viewers, _) = (gallery.seats.len(), gallery.carriers.len());
        assert_eq!(viewers, 2);
        drop(gallery);
        for (body, left_out) in [(first, Value::from("192.0.2.8:1")), (second, Value::Null)] {
            let lines = told(Gallery::new(Sight::Packets), body).await;
            assert_eq!(lines[0]["left_out"], left_out);
            assert_eq!(lines.len(), 5, "{lines:?}");
            let flows = events(&lines).into_iter().skip(1);
            assert!(
                flows.into_iter().all(|(_, flow)| flow == Some(1)),
                "{lines:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_view_that_no_packets_show_is_told_nothing_more() {
        let (mut live, mut gallery) = (live(), Gallery::new(Sight::Packets));
        let (looking, body) = Viewer::new(Some(course("192.0.2.8:1")), None, true);
        let mut seat = Seat::new(looking, Arc::default());
        // Introduced by a proxy, they have an address that is in no packet.
        seat.since = Instant::now().checked_sub(PATIENCE).unwrap();
        gallery.enter(seat);
        let fresh = hear(&mut live, &["192.0.2.9:2"]);
        gallery.show(&live, &fresh);
        assert!(gallery.seats.is_empty(), "they are sent away");
        let lines = told(gallery, body).await;
        assert_eq!(events(&lines), [("view", None)]);
        assert_eq!(
            (&lines[0]["sees"], &lines[0]["left_out"]),
            (&"none".into(), &Value::Null)
        );
    }

    #[tokio::test]
    async fn whoever_is_too_slow_is_told_how_much_they_missed() {
        let (mut live, mut gallery) = (live(), Gallery::new(Sight::Packets));
        let (seat, mut body) = seat(None, true);
        gallery.enter(seat);
        let sent = 40 * RATE;
        for _ in 0..sent / 100 {
            let fresh = hear(&mut live, &["192.0.2.8:1"; 100]);
            gallery.show(&live, &fresh);
        }
        let waits = |gallery: &Gallery| gallery.seats[0].missed > 0;
        assert!(waits(&gallery));
        let (mut said, start) = (Vec::new(), Instant::now());
        while waits(&gallery) && start.elapsed() < Duration::from_secs(10) {
            // They read on, and so there is room again.
            while let Some(Some(data)) = body.data().now_or_never() {
                said.extend_from_slice(&data.unwrap());
            }
            gallery.show(&live, &[]);
        }
        let mut lines = lines(said);
        lines.extend(told(gallery, body).await);
        let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
        let missed: u64 = of("missed")
            .map(|line| line["packets"].as_u64().unwrap())
            .sum();
        let shown = of("packet").count() as u64;
        assert_eq!(
            shown + missed,
            sent as u64,
            "each packet is shown or counted"
        );
        assert!(missed > 0 && shown > 0);
    }
}
