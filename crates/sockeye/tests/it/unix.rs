//! Unix sockets: their files, and who may replace them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};

use sockeye::service::Echo;
use sockeye::{DialOptions, Port, PortConfig, dial};

use crate::stage::{Stage, address, exchange, within};

const SCHEMES: [&str; 2] = ["unix", "unixgram"];

#[tokio::test]
async fn the_file_is_ours_alone_and_goes_with_the_port() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let stage = Stage::new(&format!("{scheme}:{}", path.display()), Echo).await;
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{scheme}");
        stage.end().await;
        assert!(!path.exists(), "{scheme}");
    }
}

#[tokio::test]
async fn a_file_that_nobody_answers_on_is_replaced() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        if scheme == "unix" {
            drop(UnixListener::bind(&path).unwrap());
        } else {
            drop(UnixDatagram::bind(&path).unwrap());
        }
        assert!(path.exists(), "std leaves the file behind");
        let stage = Stage::new(&format!("{scheme}:{}", path.display()), Echo).await;
        let mut session = stage.dial().await;
        exchange(&mut session, "hi").await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_live_socket_is_left_alone() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let at = format!("{scheme}:{}", path.display());
        let stage = Stage::new(&at, Echo).await;
        for other in SCHEMES {
            let other = address(&format!("{other}:{}", path.display()));
            let error = Port::bind(&other, PortConfig::default()).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot listen on {}: address already in use",
                    path.display()
                )
            );
        }
        let mut session = stage.dial().await;
        exchange(&mut session, "still here").await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_live_abstract_name_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = format!("unix:@{}", folder.path().display());
    let stage = Stage::new(&at, Echo).await;
    let error = Port::bind(&address(&at), PortConfig::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on @{}: address already in use",
            folder.path().display()
        )
    );
    stage.end().await;
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    for scheme in SCHEMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "precious").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let at = address(&format!("{scheme}:{}", path.display()));
        let error = Port::bind(&at, PortConfig::default()).await.unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{scheme}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_else_has_put_in_its_place_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let stage = Stage::new(&format!("unix:{}", path.display()), Echo).await;
    fs::rename(&path, folder.path().join("away")).unwrap();
    fs::write(&path, "another's").unwrap();
    stage.end().await;
    assert_eq!(fs::read(&path).unwrap(), b"another's");
}

#[tokio::test]
async fn a_sender_without_a_name_cannot_be_answered_and_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut stage = Stage::new(&format!("unixgram:{}", path.display()), Echo).await;
    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.send_to(b"hi", &path).unwrap();
    let closed = stage.events.closed().await;
    assert_eq!(closed.how, "Failed");
    assert!(closed.text.contains("has bound no name"), "{}", closed.text);
    let mut session = stage.dial().await;
    exchange(&mut session, "hi").await;
    stage.end().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut stage = Stage::new(&format!("unixgram:{}", path.display()), Echo).await;
    let deaf = UnixDatagram::bind(folder.path().join("deaf")).unwrap();
    // As many as its queue holds (net.unix.max_dgram_qlen), and some more.
    let queue: usize = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let deaf = tokio::net::UnixDatagram::from_std({
        deaf.set_nonblocking(true).unwrap();
        deaf
    })
    .unwrap();
    for _ in 0..queue + 10 {
        within(deaf.send_to(b"hi", &path)).await.unwrap();
    }
    let info = stage.events.opened().await;
    within(async {
        while info.counters().messages_out() < (queue + 10) as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut session = stage.dial().await;
    exchange(&mut session, "hi").await;
    drop(deaf);
    stage.end().await;
}

#[tokio::test]
async fn dialing_nobody_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    for scheme in SCHEMES {
        let path = folder.path().join("none");
        let to = address(&format!("{scheme}:{}", path.display()));
        let error = dial(&to, &DialOptions::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot connect to {}: no such file or directory",
                path.display()
            )
        );
    }
}
