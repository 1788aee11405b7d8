//! What the words of `trace lab` mean: which wire, and who is at its ends.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use trace::lab::{self, Action, Link, Part, Play, Program, Rule, Scenario};

use crate::args::LabArgs;
use crate::failure::Usage;

/// What is played where nothing was said.
const DEFAULT: &str = "exchange";

/// A play that was asked for.
pub(crate) struct LabPlan {
    pub(crate) play: Play,
    /// Unless both ends are programs.
    pub(crate) scenario: Option<&'static Scenario>,
    /// Whether it is the scenario as it is.
    pub(crate) plain: bool,
    /// One line that tells of the wire.
    pub(crate) source: String,
    _keys: Option<Keys>,
}

impl LabPlan {
    pub(crate) fn new(args: &LabArgs) -> Result<Self> {
        let name = args.scenario.as_deref();
        let scenario = match name.map(|name| (name, lab::scenario(name))) {
            Some((_, Some(scenario))) => scenario,
            Some((name, None)) => return Err(unknown(name).into()),
            None => lab::scenario(DEFAULT).context("the lab has lost its first scenario")?,
        };
        let ends = ends(args)?;
        // Programs that have been given neither a scenario nor a wire of their own have a wire that does nothing.
        let mut play = scenario.play();
        let before = play.link.clone();
        wire(args, &mut play.link)?;
        let plain = ends.iter().all(Option::is_none) && same(&before, &play.link);
        let mut keys = None;
        for (part, end) in play.parts.iter_mut().zip(ends) {
            if let Some(words) = end {
                *part = Part::Program(Program { words });
            }
        }
        let programs = play
            .parts
            .iter()
            .filter(|part| matches!(part, Part::Program(_)));
        let programs = programs.count();
        if programs > 0 {
            let file = Keys::new()?;
            play.keys = Some(file.0.clone());
            keys = Some(file);
        }
        play.limit = args.limit;
        let scenario = (programs < 2).then_some(scenario);
        Ok(Self {
            source: source(scenario, &play.link),
            play,
            scenario,
            plain,
            _keys: keys,
        })
    }
}

fn unknown(name: &str) -> Usage {
    let name = wire::text::printable(name);
    Usage(format!(
        "there is no scenario `{name}`: `sockeye trace lab --list` names them"
    ))
}

fn same(one: &Link, other: &Link) -> bool {
    (one.delay, one.rate, one.loss) == (other.delay, other.rate, other.loss)
        && one.rules == other.rules
}

fn wire(args: &LabArgs, link: &mut Link) -> Result<()> {
    link.delay = args.delay.unwrap_or(link.delay);
    link.rate = args.rate.or(link.rate);
    link.queue = args.queue.map_or(link.queue, |queue| queue as u64);
    link.loss = args.loss.unwrap_or(link.loss);
    link.seed = args.seed;
    let plain = [
        (Action::Drop, &args.drop),
        (Action::Duplicate, &args.dup),
        (Action::Reorder, &args.reorder),
        (Action::Corrupt, &args.corrupt),
    ];
    for (action, which) in plain {
        for text in which {
            link.rules.push(rule(action, text)?);
        }
    }
    for text in &args.late {
        let (which, time) = text.rsplit_once('=').ok_or_else(|| {
            Usage(format!(
                "--late {text}: write WHICH=TIME, as in data:2=15ms"
            ))
        })?;
        let time = crate::args::time(time).map_err(|why| Usage(format!("--late {text}: {why}")))?;
        link.rules.push(rule(Action::Late(time), which)?);
    }
    Ok(())
}

fn rule(action: Action, text: &str) -> Result<Rule, Usage> {
    Rule::new(action, text).map_err(|why| Usage(why.to_string()))
}

type Words = Vec<OsString>;

/// The programs of the client and of the server, where they are programs.
fn ends(args: &LabArgs) -> Result<[Option<Words>; 2]> {
    let server = format!("{}", lab::server());
    let own = || std::env::current_exe().context("cannot find this program itself");
    let client = match (&args.send[..], &args.client[..]) {
        ([], []) => None,
        ([], words) => Some(words.to_vec()),
        (said, _) => {
            let mut words: Words = vec![own()?.into(), "connect".into()];
            words.push(format!("{}://{server}", args.over).into());
            // Nobody but us is at the other end.
            if ["tls", "wss", "https", "quic", "h3", "wt"].contains(&&*args.over) {
                words.push("--insecure".into());
            }
            for text in said {
                words.extend(["--send".into(), text.into()]);
            }
            Some(words)
        }
    };
    let service = match (&args.service, &args.server, &args.scenario) {
        (Some(service), ..) => Some(&**service),
        // Whoever brings a client and names no server wants to be answered.
        (None, None, None) if client.is_some() => Some("echo"),
        _ => None,
    };
    let server = match (service, &args.server) {
        (Some(service), _) => {
            let mut words: Words = vec![own()?.into(), "serve".into()];
            words.extend(split(service)?);
            words.push(server.into());
            Some(words)
        }
        (None, Some(command)) => Some(split(command)?),
        (None, None) => None,
    };
    Ok([client, server])
}

fn split(command: &str) -> Result<Words, Usage> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let words =
        words.ok_or_else(|| Usage(format!("`{command}` is no command: is a quote missing?")))?;
    Ok(words.into_iter().map(Into::into).collect())
}

fn source(scenario: Option<&Scenario>, link: &Link) -> String {
    let mut text = scenario.map_or_else(String::new, |scenario| format!("{}: ", scenario.name));
    text.push_str(&link.to_string());
    text
}

/// A file that both ends write their keys to, and that is gone when the picture is drawn.
struct Keys(PathBuf);

impl Keys {
    fn new() -> Result<Self> {
        let name = format!("sockeye-lab-{}.keys", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Whoever has removed it already has done the same.
        let _ = fs::remove_file(&self.0);
    }
}
