//! caddy, with the bench's certificate: what an HTTP/3 server is measured against.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::contender::Contender;

/// `caddy.sh PORT DIRECTIVE [; DIRECTIVE…]`. Folders of its own, so that it runs beside an installed one and as anybody.
const SCRIPT: &str = r#"set -e
own=$(cd -- "$(dirname -- "$0")" && pwd)
port=$1
shift
cat >"$own/caddy.$port" <<END
{
    admin off
    auto_https disable_redirects
    skip_install_trust
    storage file_system $own/caddy
    log {
        output discard
    }
}
https://localhost:$port {
    bind 127.0.0.1
    tls $own/cert.pem $own/key.pem
    $(printf %s "$*" | tr ';' '\n')
}
END
export HOME="$own" XDG_CONFIG_HOME="$own/config" XDG_DATA_HOME="$own/data"
exec caddy run --adapter caddyfile --config "$own/caddy.$port"
"#;

/// Its script goes to `own`, the bench's folder, where the certificate is.
fn contender(own: &Path, directives: &str) -> Result<Contender> {
    let script = own.join("caddy.sh");
    fs::write(&script, SCRIPT).context("writing caddy.sh")?;
    let line = format!("{} {{port}} {directives}", script.display());
    Ok(Contender::new("caddy", "sh", &line).needs("caddy"))
}

/// Answers with six bytes.
pub(crate) fn hello(own: &Path) -> Result<Contender> {
    contender(own, "respond hello!")
}

/// Serves the files of a folder.
pub(crate) fn files(own: &Path, served: &Path) -> Result<Contender> {
    let served = served.display();
    contender(own, &format!("root * {served} ; file_server"))
}
