//! A server of HTTP/1.1 that answers what it is told to, right or wrong, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::stage::LONG;

/// One request: its first line, its fields, its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// `name: value`, the name in lower case, in the order of the names.
    pub(crate) fields: Vec<String>,
    pub(crate) content: Vec<u8>,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values = self
            .fields
            .iter()
            .filter_map(|field| field.split_once(": "));
        values
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value)
            .next()
    }
}

/// It closes each connection after one answer.
pub(crate) struct Scripted {
    pub(crate) at: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let (asked, over) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (remembered, told) = (asked.clone(), over.clone());
        let serving = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if told.load(Relaxed) {
                    return;
                }
                stream.set_read_timeout(Some(LONG)).unwrap();
                let Some(asked) = read(&mut stream) else {
                    continue;
                };
                remembered.lock().unwrap().push(asked.clone());
                // Who has read enough may leave.
                let _ = stream.write_all(&answer(&asked));
            }
        });
        Self {
            at,
            asked,
            over,
            serving: Some(serving),
        }
    }

    /// The same answer for everyone.
    pub(crate) fn says(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_| answer.clone())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// What it was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        // It waits for somebody to come.
        drop(TcpStream::connect(&self.at));
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// An answer with these fields and this content, and how long that is.
pub(crate) fn answer(status: &str, fields: &[&str], content: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", content.len());
    for field in fields {
        text.push_str(&format!("{field}\r\n"));
    }
    text.push_str("Connection: close\r\n\r\n");
    [text.as_bytes(), content].concat()
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let lower = |field: &str| {
        let (name, value) = field.split_once(':').unwrap_or((field, ""));
        format!("{}: {}", name.to_ascii_lowercase(), value.trim())
    };
    let mut fields: Vec<_> = lines.map(lower).collect();
    fields.sort();
    let mut asked = Asked {
        line,
        fields,
        content: Vec::new(),
    };
    if asked.field("expect") == Some("100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if asked.field("transfer-encoding").is_some() {
        asked.content = chunks(stream)?;
    } else if let Some(length) = asked.field("content-length") {
        let mut content = vec![0; length.parse().ok()?];
        stream.read_exact(&mut content).ok()?;
        asked.content = content;
    }
    Some(asked)
}

fn chunks(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(all);
        }
        all.extend_from_slice(&chunk[..size]);
    }
}
