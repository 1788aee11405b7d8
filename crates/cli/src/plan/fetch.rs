//! What the words and flags of `fetch` mean: orders, how they are brought, and where what comes goes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use sockeye::fetch::{Exceptions, Location, Options, Order, Payload, Proxies, Speaks};
use sockeye::{DialOptions, Family, Proxy, QuicSettings};
use wire::address::{Scheme, Target};

use super::{port, tls};
use crate::args::{Datum, FetchArgs, Field};
use crate::config::Config;
use crate::failure::Usage;
use crate::fetched::{self, file_name};
use crate::report::write_out::Format;

mod data;

/// One URL, and where what it names goes.
pub(crate) struct Job {
    pub(crate) order: Order,
    pub(crate) target: fetched::Target,
}

/// Everything that is to be fetched.
///
/// # Errors
/// When the words make no sense, or a file with data cannot be read.
pub(crate) fn jobs(args: &FetchArgs) -> Result<Vec<Job>> {
    if args.k {
        let what =
            "-k is not taken here: write --insecure, and whoever is in between can read everything";
        return Err(Usage(what.to_owned()).into());
    }
    let data = data::read(&args.data.0)?;
    let mut outputs = args.output.iter();
    let mut jobs = Vec::with_capacity(args.urls.len());
    for url in &args.urls {
        let order = order(args, location(url)?, data.as_ref())?;
        let target = match outputs.next() {
            Some(path) if path.as_os_str() == "-" => fetched::Target::Anything,
            Some(path) => fetched::Target::File(path.clone()),
            None if args.remote_name => fetched::Target::File(remote_name(&order.location)?),
            None => fetched::Target::Output,
        };
        if !matches!(target, fetched::Target::File(_))
            && args.continue_at == Some(crate::args::From::End)
        {
            let what = "-C - goes on with a file: -o FILE or -O names it";
            return Err(Usage(what.to_owned()).into());
        }
        jobs.push(Job { order, target });
    }
    if outputs.next().is_some() {
        let what = format!(
            "{} times -o for {} URLs",
            args.output.len(),
            args.urls.len()
        );
        return Err(Usage(what).into());
    }
    Ok(jobs)
}

fn location(text: &str) -> Result<Location> {
    if let Some(text) = text.strip_prefix('@') {
        return of_contact(text);
    }
    let read = text.parse::<Location>();
    if read.is_err() && text.trim_start().starts_with(['{', '[']) {
        let what = format!("`{text}` is no URL: JSON is sent by --data-json, --json is a report");
        return Err(Usage(what).into());
    }
    Ok(read?)
}

/// `NAME` or `NAME/path` of a contact.
fn of_contact(text: &str) -> Result<Location> {
    let end = text.find(['/', '?']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let address = Config::load()?.contact(name)?;
    let scheme = match address.scheme {
        None | Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        Some(Scheme::H3) => "h3",
        Some(_) => {
            let what = format!("cannot fetch @{name}: {address} is not http://, https:// or h3://");
            return Err(Usage(what).into());
        }
    };
    let Target::Net { hosts, path } = &address.target else {
        return Err(Usage(format!("cannot fetch @{name}: {address} is no host")).into());
    };
    let [host, ..] = &hosts[..] else {
        return Err(Usage(format!("cannot fetch @{name}: it names no host")).into());
    };
    let path = if rest.is_empty() { path } else { rest };
    Ok(format!("{scheme}://{host}{path}").parse()?)
}

fn remote_name(location: &Location) -> Result<PathBuf> {
    let name = location.file_name().and_then(|name| file_name(&name));
    let name = name.ok_or_else(|| {
        Usage(format!(
            "{location} ends in no name that a file could have: -o FILE names one"
        ))
    })?;
    Ok(name.into())
}

fn order(args: &FetchArgs, mut location: Location, data: Option<&data::Data>) -> Result<Order> {
    let mut headers = HeaderMap::new();
    let mut payload = Payload::Nothing;
    let mut method = if args.head { Method::HEAD } else { Method::GET };
    if let Some(data) = data {
        match args.get {
            true => location.add_query(&data.query()),
            false => {
                method = Method::POST;
                payload = data.payload();
                data.describe(&mut headers);
            }
        }
    }
    if let Some(path) = &args.upload_file {
        method = Method::PUT;
        payload = upload(path, &mut location)?;
    }
    let named = [
        (header::USER_AGENT, &args.user_agent),
        (header::REFERER, &args.referer),
        (header::COOKIE, &args.cookie),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    cookie(args)?;
    if let Some(range) = &args.range {
        headers.insert(header::RANGE, range_of(range)?);
    }
    if let Some(user) = &args.user {
        if !user.contains(':') {
            let what =
                "--user is NAME:PASSWORD; SOCKEYE_USER in the environment keeps it from others";
            return Err(Usage(what.to_owned()).into());
        }
        headers.insert(header::AUTHORIZATION, sockeye::basic_authorization(user));
    }
    let without = fields(args, &mut headers);
    Ok(Order {
        location,
        method: args.method.clone().unwrap_or(method),
        headers,
        without,
        payload,
    })
}

/// Puts what `-H` says over what other flags say; gives the fields that are not to be sent.
fn fields(args: &FetchArgs, headers: &mut HeaderMap) -> Vec<HeaderName> {
    let mut without = Vec::new();
    for field in &args.header {
        let (Field::Set(name, _) | Field::Without(name)) = field;
        headers.remove(name);
    }
    for field in &args.header {
        match field {
            Field::Set(name, value) => {
                let mut value = value.clone();
                // Not shown, and in HTTP/2 kept out of every table (RFC 7541, section 7.1.3).
                let secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION].contains(name);
                value.set_sensitive(secret);
                headers.append(name, value);
            }
            Field::Without(name) => without.push(name.clone()),
        }
    }
    without
}

fn cookie(args: &FetchArgs) -> Result<()> {
    let cookie = args.cookie.as_ref().map(HeaderValue::as_bytes);
    if cookie.is_some_and(|cookie| !cookie.contains(&b'=')) {
        let what = "--cookie is NAME=VALUE; files of cookies are not read";
        return Err(Usage(what.to_owned()).into());
    }
    Ok(())
}

fn range_of(text: &str) -> Result<HeaderValue> {
    let fits = |part: &str| {
        part.split_once('-').is_some_and(|(first, last)| {
            let number = |text: &str| text.is_empty() || text.parse::<u64>().is_ok();
            number(first) && number(last) && part != "-"
        })
    };
    if !text.split(',').all(|part| fits(part.trim())) {
        let what = format!("cannot read `{text}` as a range: write 0-99, 100- or -100");
        return Err(Usage(what).into());
    }
    Ok(HeaderValue::try_from(format!("bytes={text}"))?)
}

fn upload(path: &Path, location: &mut Location) -> Result<Payload> {
    if path.as_os_str() == "-" {
        return Ok(Payload::once(tokio::io::stdin()));
    }
    // Found out before anybody is connected to.
    std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    if location.target().ends_with('/')
        && let Some(name) = path.file_name()
    {
        location.add_name(&name.to_string_lossy());
    }
    Ok(Payload::File(path.to_owned()))
}

/// How all of it is fetched; `tell` hears what the person should know.
///
/// # Errors
/// When a file or a proxy is of no use.
pub(crate) fn options(
    args: &FetchArgs,
    jobs: &[Job],
    mut tell: impl FnMut(&str),
) -> Result<Options> {
    let secure = args.location || jobs.iter().any(|job| job.order.location.is_secure());
    let speaks = [
        (args.http1, Speaks::One),
        (args.http2_prior_knowledge, Speaks::Two),
        (args.http3_only, Speaks::Three),
        (args.http3, Speaks::First),
    ];
    let speaks = speaks.into_iter().find(|(asked, _)| *asked);
    let proxies = proxies(args)?;
    Ok(Options {
        dial: DialOptions {
            timeout: args.connect_timeout,
            family: Family::wanted(args.ipv4, args.ipv6),
            quic: QuicSettings {
                version: args.quic_version,
                ..port::quic(&mut tell)
            },
            tls: tls::of_client(&args.tls, secure, tell)?,
            ..DialOptions::default()
        },
        speaks: speaks.map_or(Speaks::Any, |(_, speaks)| speaks),
        redirects: if args.location { args.max_redirs } else { 0 },
        resolve: args.resolve.clone(),
        proxies,
        alternatives: None,
        compressed: args.compressed,
        early_data: args.early_data,
        no_reuse: args.no_reuse,
        witness: None,
    })
}

/// What is to be written at the end.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn format(args: &FetchArgs) -> Result<Option<Format>> {
    let Some(text) = &args.write_out else {
        return Ok(None);
    };
    let text = match text.strip_prefix('@') {
        Some("-") => {
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
        }
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?
        }
        None => text.clone(),
    };
    let read = text.parse().map(Some);
    read.map_err(|why: String| Usage(format!("--write-out: {why}")).into())
}

/// The proxies of the command line, or those of the environment.
fn proxies(args: &FetchArgs) -> Result<Proxies> {
    let env = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
        values.find(|value| !value.is_empty())
    };
    let except = args.noproxy.clone();
    let except = except
        .or_else(|| env(&["no_proxy", "NO_PROXY"]))
        .unwrap_or_default();
    let Ok(except) = except.parse::<Exceptions>();
    if let Some(proxy) = &args.proxy {
        let proxy = read_proxy(proxy, "--proxy")?;
        return Ok(Proxies {
            http: proxy.clone(),
            https: proxy,
            except,
        });
    }
    // HTTP_PROXY in capitals is what a server sets for the field `Proxy` of a request (httpoxy).
    let of = |names: &[&str]| match env(names) {
        Some(text) => read_proxy(&text, names[0]),
        None => Ok(None),
    };
    Ok(Proxies {
        http: of(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
        https: of(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
        except,
    })
}

fn read_proxy(text: &str, what: &str) -> Result<Option<Proxy>> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let read = whole.parse().map(Some);
    read.map_err(|error| Usage(format!("{what}: {error}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for right in ["0-99", "100-", "-100", "0-1,5-6"] {
            assert_eq!(range_of(right).unwrap(), format!("bytes={right}"));
        }
        for wrong in ["", "-", "a-b", "1", "0-99999999999999999999"] {
            assert!(range_of(wrong).is_err(), "{wrong}");
        }
    }
}
