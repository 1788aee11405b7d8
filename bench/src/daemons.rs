//! The daemons that files are brought to elsewhere: sshd and rsync's, with settings that the bench writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::{getegid, geteuid};

use crate::contender::Contender;

/// It starts itself again, and does so only by its full name.
const SSHD: &str = "/usr/sbin/sshd";

/// sshd for whoever runs the bench, and `scp` of `what` to `target` there. `None` where they are not installed.
pub(crate) fn scp(
    folder: &Path,
    what: &str,
    target: &Path,
) -> Result<Option<(Contender, Contender)>> {
    let own = folder.join("ssh");
    let shown = own.display();
    let config = own.join("sshd_config");
    let daemon = format!("-D -e -f {} -p {{port}}", config.display());
    let daemon = Contender::new("scp", SSHD, &daemon);
    let client = format!(
        "-q -F none -P {{port}} -i {shown}/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null {what} 127.0.0.1:{}/",
        target.display()
    );
    let client = Contender::new("scp", "scp", &client).needs("ssh-keygen");
    if !daemon.exists() || !client.exists() {
        eprintln!("not measured, because it is not there: scp with sshd");
        return Ok(None);
    }
    if !own.exists() {
        fs::create_dir(&own).context("making a folder for sshd")?;
        for name in ["host", "key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            let status = keygen.arg(own.join(name)).status();
            ensure!(status.context("ssh-keygen")?.success(), "ssh-keygen failed");
        }
    }
    if geteuid().is_root() {
        // Where it drops its rights; the system makes it when it starts its own sshd.
        fs::create_dir_all("/run/sshd").context("making /run/sshd")?;
    }
    let text = format!(
        "ListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/key.pub\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    );
    fs::write(&config, text).context("writing the settings of sshd")?;
    Ok(Some((daemon, client)))
}

/// The daemon of rsync with `target` for its module, and the client that sends it `what`. `None` where it is not
/// installed.
pub(crate) fn rsync(
    folder: &Path,
    what: &str,
    target: &Path,
) -> Result<Option<(Contender, Contender)>> {
    let config = folder.join("rsyncd.conf");
    let daemon = format!(
        "--daemon --no-detach --address=127.0.0.1 --port={{port}} --config={}",
        config.display()
    );
    let daemon = Contender::new("rsync", "rsync", &daemon);
    let client = format!("-rtW {what} rsync://127.0.0.1:{{port}}/files/");
    let client = Contender::new("rsync", "rsync", &client);
    if !daemon.exists() {
        eprintln!("not measured, because it is not there: rsync");
        return Ok(None);
    }
    let text = format!(
        "use chroot = no\nreverse lookup = no\n[files]\npath = {}\nread only = no\nuid = {}\ngid = {}\n",
        target.display(),
        geteuid(),
        getegid()
    );
    fs::write(&config, text).context("writing the settings of rsync")?;
    Ok(Some((daemon, client)))
}
