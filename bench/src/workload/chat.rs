//! A chat: one who writes to many who read, and members who are silent.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Plan, rounds};
use crate::contender::{Contender, Transport, present};
use crate::load::room::{self, Room, Speech};
use crate::report::Bound::{AtLeast, AtMost, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[
    ("lines heard/s", 0),
    ("server µs/line", 2),
    ("others' CPUs", 2),
];
const IDLE: &[Column] = &[("KiB/member", 2), ("KiB at start", 0), ("members", 0)];
/// sockeye with a database.
const KEPT: &str = "sockeye, kept";
const READERS: usize = 1000;
/// ncat waits with `select`, which knows 1,023 files, and tells everyone of all who come.
const NCATS_READERS: usize = 400;
const MEMBERS: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn fan_out(plan: &Plan) -> Result<Vec<Table>> {
    let programs = &plan.programs;
    let place = programs.folder.path().join("chat-{port}.db");
    let ours = || {
        [
            (programs.chat("sockeye", "none"), Speech::Sockeye),
            (
                programs.chat(KEPT, &place.display().to_string()),
                Speech::Sockeye,
            ),
        ]
    };
    let nats = Contender::new("NATS", "nats-server", "-a 127.0.0.1 -p {port}");
    let broker = "-l -k --broker --chat -m 2000 127.0.0.1 {port}";
    let ncat = Contender::new("ncat --chat", "ncat", broker);
    let many = [(programs.ngircd(), Speech::Irc), (nats, Speech::Nats)];
    let goals = vec![
        Goal::ratio(0, "ngircd", AtLeast(2.0)),
        Goal::ratio(1, "ngircd", Shown),
        Goal::ratio(0, "NATS", Shown),
        Goal::ratio(0, KEPT, Shown),
    ];
    let first = table(plan, READERS, ours().into_iter().chain(many), goals);
    let goals = vec![Goal::ratio(0, "ncat --chat", AtLeast(5.0))];
    let ncat = [(ncat, Speech::Ncat)];
    let second = table(plan, NCATS_READERS, ours().into_iter().chain(ncat), goals);
    Ok(vec![first, second])
}

fn table(
    plan: &Plan,
    readers: usize,
    contenders: impl Iterator<Item = (Contender, Speech)>,
    goals: Vec<Goal>,
) -> Table {
    let title = format!("chat-fanout: lines of 64 bytes of one writer, readers: {readers}");
    let mut table = Table::new(title, COLUMNS, goals);
    let (contenders, speeches): (Vec<_>, Vec<_>) = contenders.unzip();
    let speech = |name: &str| {
        let all = contenders.iter().zip(&speeches);
        all.into_iter()
            .find_map(|(contender, speech)| (contender.name == name).then_some(*speech))
    };
    let contenders = present(contenders.clone());
    rounds(plan.rounds, &contenders, LIMIT, |contender, round| {
        let server = contender.start(Transport::Tcp)?;
        let speech = speech(contender.name).unwrap_or(Speech::Sockeye);
        let room = Room::fill(server.address, speech, readers)?;
        let watched = room.talk(&server.group, plan.window)?;
        let figures = vec![watched.rate(), watched.cost(), watched.foreign()];
        table.add(contender.name, round, figures);
        Ok(())
    });
    table
}

pub(super) fn idle(plan: &Plan) -> Result<Vec<Table>> {
    let title = "chat-idle: members who have been greeted, server memory (PSS)".to_owned();
    let mut table = Table::new(title, IDLE, vec![Goal::figure(0, AtMost(10.0))]);
    // One round: memory does not depend on who else is running.
    rounds(
        1,
        &[plan.programs.chat("sockeye", "none")],
        LIMIT,
        |contender, round| {
            let server = contender.start(Transport::Tcp)?;
            let before = server.group.memory();
            let members =
                (0..MEMBERS).map(|number| room::enter(server.address, Speech::Sockeye, number));
            let members = members.collect::<Result<Vec<_>>>()?;
            // What a server does after its last answer, it has done by then.
            thread::sleep(Duration::from_millis(300));
            let growth = server.group.memory() as f64 - before as f64;
            let figures = vec![
                growth / members.len() as f64,
                before as f64,
                members.len() as f64,
            ];
            table.add(contender.name, round, figures);
            Ok(())
        },
    );
    Ok(vec![table])
}
