//! nginx with one worker that serves the files of a folder: what a static file server is measured against.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::contender::Contender;

/// `nginx_files.sh PORT FOLDER`. Paths of its own, so that it runs beside an installed one and as anybody.
const SCRIPT: &str = r#"set -e
own=$(cd -- "$(dirname -- "$0")" && pwd)
cat >"$own/nginx-files.$1.conf" <<END
daemon off;
worker_processes 1;
user root;
pid $own/nginx-files.$1.pid;
error_log /dev/null crit;
events { worker_connections 4096; multi_accept on; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path $own/body;
    proxy_temp_path $own/proxy;
    fastcgi_temp_path $own/fastcgi;
    uwsgi_temp_path $own/uwsgi;
    scgi_temp_path $own/scgi;
    server {
        listen 127.0.0.1:$1 backlog=4096;
        location / { root $2; }
    }
}
END
exec nginx -e /dev/null -c "$own/nginx-files.$1.conf"
"#;

/// Its script goes to `own`, the bench's folder.
pub(crate) fn files(own: &Path, served: &Path) -> Result<Contender> {
    let script = own.join("nginx_files.sh");
    fs::write(&script, SCRIPT).context("writing nginx_files.sh")?;
    let line = format!("{} {{port}} {}", script.display(), served.display());
    Ok(Contender::new("nginx", "sh", &line))
}
