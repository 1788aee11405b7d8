//! Where what was seen is drawn: a picture that grows, objects line by line, or a file when all is over.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use trace::{
    Capture, Dump, Flow, Growing, Live, Style, Theme, Transport, WHOLE, json_end, json_of,
};

use super::ports::is_taken;

/// How often what waits for keys is written.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);

/// A flow that is over may still have a last word.
const LAST_WORD: std::time::Duration = std::time::Duration::from_millis(200);

/// What is drawn.
pub(crate) enum Form {
    /// A picture of text.
    Picture(Style),
    /// An object a line.
    Json,
    /// A picture of one flow.
    Svg(Theme, bool),
    /// A page.
    Html(Theme, bool),
    /// Nothing: packets go into a file.
    Nothing,
}

/// A file of packets.
pub(crate) struct Pcap {
    out: Box<dyn Write + Send>,
    dump: Dump,
    /// Whether it has the keys.
    keys: bool,
}

impl Pcap {
    /// Begins it; `-` is standard output. With keys only its owner can read it.
    pub(crate) fn create(
        path: &Path,
        keys: bool,
        stdout: impl FnOnce() -> Box<dyn Write + Send>,
    ) -> Result<Self> {
        let out = match path == Path::new("-") {
            true => stdout(),
            false => Box::new(create(path, keys)?),
        };
        let application = concat!("sockeye ", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            out,
            dump: Dump::begin((application, "made by sockeye trace"), WHOLE, keys),
            keys,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bytes.is_empty() {
            true => Ok(()),
            false => self.out.write_all(bytes).and_then(|()| self.out.flush()),
        }
    }
}

/// A file that is written anew; a secret one only its owner can read.
pub(crate) fn create(path: &Path, secret: bool) -> Result<File> {
    let mode = if secret { 0o600 } else { 0o644 };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if secret {
        // The file may have been there.
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        file.set_permissions(own)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(file)
}

/// Draws.
pub(crate) struct Easel {
    form: Form,
    growing: Option<Growing>,
    /// How many packets of each flow are written.
    rows: HashMap<usize, usize>,
    /// Flows that are over, and since when.
    over: VecDeque<(Instant, usize)>,
    out: Option<Box<dyn Write + Send>>,
    pcap: Option<Pcap>,
    /// Flows that are over are forgotten: what is served may go on for years.
    pub(crate) forgets: bool,
}

impl Easel {
    pub(crate) fn new(form: Form, out: Box<dyn Write + Send>, pcap: Option<Pcap>) -> Self {
        let growing = match &form {
            Form::Picture(style) => Some(Growing::new(style.clone(), "")),
            _ => None,
        };
        Self {
            form,
            growing,
            rows: HashMap::new(),
            over: VecDeque::new(),
            out: Some(out),
            pcap,
            forgets: false,
        }
    }

    /// What the name of a file says about its form, with the file, if it is written at the end or as it comes.
    pub(crate) fn into_file(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let form = match ending {
            Some("svg") => Form::Svg(Theme::Auto, false),
            Some("html") => Form::Html(Theme::Auto, false),
            Some("json" | "jsonl") => Form::Json,
            Some("pcapng") => {
                let pcap = Pcap::create(path, false, || Box::new(io::sink()))?;
                return Ok(Self::new(Form::Nothing, Box::new(io::sink()), Some(pcap)));
            }
            Some("txt") => Form::Picture(Style::default()),
            _ => {
                let what = format!(
                    "--trace={}: the name ends in .svg, .html, .json, .txt or .pcapng",
                    path.display()
                );
                return Err(crate::failure::Usage(what).into());
            }
        };
        Ok(Self::new(form, Box::new(create(path, false)?), None))
    }

    /// Whether rows are drawn as they come, and never again.
    pub(super) fn grows(&self) -> bool {
        self.growing.is_some()
    }

    /// Whether all of each packet is wanted, however many there are.
    pub(super) fn keeps_all(&self) -> bool {
        self.pcap.is_some()
    }

    pub(super) fn keys(&mut self, lines: &[u8]) {
        if let Some(pcap) = &mut self.pcap {
            pcap.dump.keys(lines);
        }
    }

    pub(super) fn packet(&mut self, link: u16, time: u64, data: &[u8], outbound: Option<bool>) {
        if let Some(pcap) = &mut self.pcap {
            pcap.dump.packet(link, time, data, outbound, String::new());
        }
    }

    /// When something is to be drawn though nothing comes.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = self.pcap.as_ref().is_some_and(|pcap| pcap.dump.waits());
        let pcap = waits.then(|| Instant::now() + TICK);
        let growing = self.growing.as_ref().and_then(Growing::due);
        pcap.into_iter().chain(growing).min()
    }

    /// Draws what is due. `fresh` says of which flows something was heard.
    pub(super) fn draw(&mut self, live: &mut Live, fresh: &[usize]) -> Result<()> {
        let now = Instant::now();
        let mut text = String::new();
        if let Some(growing) = &mut self.growing {
            text = growing.grow(live.flows(), fresh, now);
            for &number in fresh {
                live.let_go(number, growing.needs(number));
            }
            if self.forgets {
                let (over, last) = growing.ended(live.flows(), now);
                text.push_str(&last);
                for number in over {
                    live.forget(number);
                }
            }
        } else if matches!(self.form, Form::Json) {
            for &number in fresh {
                let row = self.rows.entry(number).or_default();
                let Some(flow) = live.flows().get(number) else {
                    continue;
                };
                text.push_str(&json_of(flow, number, *row, live.started()));
                *row = flow.rows();
                if self.forgets && flow.is_over() {
                    self.over.push_back((now, number));
                }
                live.let_go(number, row.saturating_sub(1));
            }
            while let Some((since, number)) = self.over.front().copied()
                && now.duration_since(since) >= LAST_WORD
            {
                self.over.pop_front();
                self.rows.remove(&number);
                live.forget(number);
            }
        }
        self.put(text.as_bytes())?;
        if let Some(pcap) = &mut self.pcap {
            let ready = pcap.dump.ready();
            pcap.put(&ready)
                .or_else(unheard)
                .context("cannot write packets")?;
        }
        Ok(())
    }

    /// Ends everything.
    pub(super) fn finish(mut self, mut live: Live) -> Result<()> {
        live.go_on(true);
        let fresh = live.fresh();
        self.draw(&mut live, &fresh)?;
        let text = match (self.growing.take(), &self.form) {
            (Some(growing), _) => growing.finish(live.flows()),
            _ => String::new(),
        };
        self.put(text.as_bytes())?;
        let capture = live.done();
        let drawn = match self.form {
            Form::Json => json_end(&capture),
            Form::Html(theme, all) => trace::html(&capture, "", theme, all, &[]),
            Form::Svg(theme, all) => match capture.flows.first() {
                Some(flow) => trace::svg(flow, "", theme, all),
                None => String::new(),
            },
            Form::Picture(_) | Form::Nothing => String::new(),
        };
        self.put(drawn.as_bytes())?;
        if let Some(mut pcap) = self.pcap.take() {
            let hidden = if pcap.keys {
                hidden(&capture)
            } else {
                BTreeSet::new()
            };
            for port in hidden {
                eprintln!(
                    "note: Wireshark looks for something else on port {port}: -d tcp.port=={port},tls says that it is TLS"
                );
            }
            let Pcap { dump, .. } = &mut pcap;
            let rest = std::mem::replace(dump, Dump::begin(("", ""), 0, false));
            pcap.put(&rest.finish(capture.dropped))
                .or_else(unheard)
                .context("cannot write packets")?;
        }
        if capture.dropped > 0 {
            let count = capture.dropped;
            let missed = format!("     {count} packets came too fast and were not seen\n");
            match self.form {
                Form::Picture(_) => self.put(missed.as_bytes())?,
                _ => eprintln!("trace: {}", missed.trim()),
            }
        }
        Ok(())
    }

    fn put(&mut self, text: &[u8]) -> Result<()> {
        let Some(out) = self.out.as_mut().filter(|_| !text.is_empty()) else {
            return Ok(());
        };
        match out.write_all(text).and_then(|()| out.flush()) {
            // Nobody looks any more, and the conversation goes on.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.out = None;
                Ok(())
            }
            written => written.context("cannot write the picture"),
        }
    }
}

/// Ports on which Wireshark would not look for TLS.
fn hidden(capture: &Capture) -> BTreeSet<u16> {
    let speaks = |flow: &&Flow| {
        let mut steps = flow.events.iter().flat_map(|event| &event.steps);
        flow.transport == Transport::Tcp && steps.any(|step| step.layer == "TLS")
    };
    let ports = capture
        .flows
        .iter()
        .filter(speaks)
        .flat_map(|flow| flow.ends);
    ports
        .map(|end| end.port())
        .filter(|port| is_taken(*port))
        .collect()
}

fn unheard(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }
}
