//! Uploads that take several requests: where each of them stands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::timeout;
use wire::transfer::RelativePath;

use super::filling::Place;
use super::trouble::Trouble;
use super::waiting;
use crate::transfer::{Clash, Declared, Landed, Landing, Root};

/// Uploads that may be under way, and finished ones that are remembered, so that whoever has not heard of the end can
/// still ask for it.
const MOST: usize = 10_000;

/// How long a request waits for an earlier one to leave the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// A part that nobody has touched for so long has its files closed. The next request reads and checks what is there.
const CLOSED_AFTER: Duration = Duration::from_secs(60);

/// All uploads of a service, by the word that names each in its URL.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Arc<Upload>>>);

/// One upload.
#[derive(Debug)]
pub(super) struct Upload {
    /// What names it: the client's content, and so the part.
    pub(super) id: String,
    pub(super) path: RelativePath,
    pub(super) size: u64,
    modified: Option<SystemTime>,
    /// As the client has said it.
    pub(super) metadata: Option<HeaderValue>,
    clash: Clash,
    /// The file while it is open. Whoever writes has it locked.
    landing: Arc<tokio::sync::Mutex<Option<Landing>>>,
    /// How many bytes there are.
    pub(super) progress: Arc<AtomicU64>,
    /// Told to a request that writes: a later one goes on.
    pub(super) over: watch::Sender<()>,
    end: Mutex<End>,
    /// When it was asked for last, in seconds since 1970.
    touched: AtomicU64,
}

/// What has become of an upload.
#[derive(Clone, Debug, Default)]
pub(super) enum End {
    #[default]
    Open,
    Landed(Landed),
    /// It was given up, or nobody came back in time.
    Gone,
}

/// What an upload is of.
pub(super) struct Begun {
    pub(super) path: RelativePath,
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) metadata: Option<HeaderValue>,
    pub(super) clash: Clash,
}

pub(super) fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

impl Uploads {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that begins. `None` when there are too many.
    pub(super) fn begin(&self, id: String, begun: Begun) -> Option<Arc<Upload>> {
        let mut all = self.all();
        if all.len() >= MOST {
            // Those that are over are remembered as long as there is room.
            let over = |upload: &Arc<Upload>| !matches!(upload.end(), End::Open);
            let oldest = all.values().filter(|it| over(it));
            let oldest = oldest.min_by_key(|it| it.touched.load(Relaxed));
            let oldest = oldest.map(|it| it.id.clone())?;
            all.remove(&oldest);
        }
        let upload = Arc::new(Upload::new(id.clone(), begun));
        all.insert(id, upload.clone());
        Some(upload)
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Upload>> {
        let found = self.all().get(id).cloned();
        found.inspect(|it| it.touched.store(now(), Relaxed))
    }

    /// Gives up what nobody has come back for within `keep`, and closes files that rest.
    pub(super) fn sweep(&self, root: &Root, keep: Duration) {
        let resting: Vec<_> = self.all().values().cloned().collect();
        for upload in resting {
            let rests = now().saturating_sub(upload.touched.load(Relaxed));
            if rests < CLOSED_AFTER.as_secs() || !matches!(upload.end(), End::Open) {
                continue;
            }
            // Somebody writes, however slowly.
            let Ok(mut place) = upload.landing.clone().try_lock_owned() else {
                continue;
            };
            let landing = place.take();
            if rests >= keep.as_secs() {
                let landing = landing.map_or_else(|| upload.open(root), Ok);
                // What cannot be opened has gone already.
                if landing.and_then(Landing::remove).is_ok() {
                    upload.ends(End::Gone);
                }
            }
        }
    }
}

impl Upload {
    fn new(id: String, begun: Begun) -> Self {
        Self {
            id,
            path: begun.path,
            size: begun.size,
            modified: begun.modified,
            metadata: begun.metadata,
            clash: begun.clash,
            landing: Arc::default(),
            progress: Arc::default(),
            over: watch::Sender::new(()),
            end: Mutex::default(),
            touched: AtomicU64::new(now()),
        }
    }

    pub(super) fn end(&self) -> End {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn ends(&self, how: End) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }

    /// Whether the file is open, and [`progress`](Self::progress) is where it stands.
    pub(super) fn is_open(&self) -> bool {
        self.landing
            .try_lock()
            .map_or(true, |place| place.is_some())
    }

    /// When it is given up unless somebody comes back.
    pub(super) fn expires(&self, keep: Duration) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.touched.load(Relaxed)) + keep
    }

    /// The file, locked and open. An earlier request that still writes is told to leave.
    ///
    /// # Errors
    /// When it does not, or the file cannot be opened.
    pub(super) async fn place(&self, root: &Root) -> Result<Place, Trouble> {
        let lock = self.landing.clone().lock_owned();
        self.over.send_replace(());
        let Ok(mut place) = timeout(PATIENCE, lock).await else {
            return Err(Trouble::Over);
        };
        if place.is_none() && matches!(self.end(), End::Open) {
            let (opening, root) = (self.opening(), root.clone());
            place = waiting(move || {
                *place = Some(opening.open(&root)?);
                Ok(place)
            })
            .await?;
            let there = place.as_ref().map_or(0, Landing::len);
            self.progress.store(there, Relaxed);
        }
        Ok(place)
    }

    fn open(&self, root: &Root) -> Result<Landing, crate::transfer::Fault> {
        self.opening().open(root)
    }

    fn opening(&self) -> Opening {
        Opening {
            path: self.path.clone(),
            declared: Declared {
                size: Some(self.size),
                modified: self.modified,
                ..Declared::default()
            },
            clash: self.clash,
            id: self.id.clone(),
        }
    }
}

/// What it takes to open a part.
struct Opening {
    path: RelativePath,
    declared: Declared,
    clash: Clash,
    id: String,
}

impl Opening {
    fn open(self, root: &Root) -> Result<Landing, crate::transfer::Fault> {
        Landing::begin(root, &self.path, self.declared, self.clash, &self.id)
    }
}
