//! How a person writes times, sizes and the like.

use std::time::Duration;

use sockeye::QuicVersion;

use super::fetch::Field;

/// `1` or `2`: a version of QUIC.
pub(crate) fn quic_version(text: &str) -> Result<QuicVersion, String> {
    match text {
        "1" => Ok(QuicVersion::One),
        "2" => Ok(QuicVersion::Two),
        _ => Err("there are versions 1 and 2 of QUIC".to_owned()),
    }
}

/// `500ms`, `3s`, `2m`, `1h`, `30d`; a plain number is seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => {
            return Err(format!(
                "`{unit}` is no unit of time; write 500ms, 3s, 2m, 1h or 30d"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write a time such as 500ms, 3s or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "that is too long a time".to_owned())
}

/// `4096`, `64k`, `16M`, `1G`: bytes, in steps of 1024.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit.trim_end_matches("iB").trim_end_matches(['B', 'b']) {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => {
            return Err(format!(
                "`{unit}` is no unit of size; write 4096, 64k, 16M or 1G"
            ));
        }
    };
    let number: usize = number
        .parse()
        .map_err(|_| "write a size such as 4096, 64k or 16M".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "that is too large".to_owned())
}

/// The same of a file, which may be larger than memory.
pub(crate) fn long_size(text: &str) -> Result<u64, String> {
    size(text).map(|size| size as u64)
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "yes" | "true" | "1" => Ok(true),
        "off" | "no" | "false" | "0" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// A network such as `192.168.0.0/16`, or one address.
pub(crate) fn network(text: &str) -> Result<ipnet::IpNet, String> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(address.into());
    }
    text.parse()
        .map_err(|_| "write a network such as 192.168.0.0/16, or one address".to_owned())
}

/// `Name: value`, as in a request.
pub(crate) fn header(text: &str) -> Result<(http::HeaderName, http::HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as NAME: VALUE")?;
    let name = name.trim().parse();
    let name = name.map_err(|_| "that is no name of a header field".to_owned())?;
    let value = http::HeaderValue::from_bytes(value.trim().as_bytes());
    let value =
        value.map_err(|_| "a value has no line breaks and no control characters".to_owned())?;
    Ok((name, value))
}

/// A header field that is to be sent, left out, or sent without a value: as curl reads it.
pub(crate) fn field(text: &str) -> Result<Field, String> {
    let empty = text.strip_suffix(';').filter(|name| !name.contains(':'));
    if let Some(name) = empty {
        let (name, value) = header(&format!("{name}:"))?;
        return Ok(Field::Set(name, value));
    }
    let (name, value) = header(text)?;
    Ok(match value.is_empty() {
        true => Field::Without(name),
        false => Field::Set(name, value),
    })
}

/// A method as it is written (RFC 9110, section 9.1: upper and lower case differ).
pub(crate) fn token(text: &str) -> Result<http::Method, String> {
    match http::Method::from_bytes(text.as_bytes()) {
        Ok(http::Method::CONNECT) => Err("a tunnel is made by --proxy".to_owned()),
        Ok(method) => Ok(method),
        Err(_) => Err("write a method such as PUT".to_owned()),
    }
}

/// The method of a request. CONNECT and TRACE have no body that a session could be.
pub(crate) fn method(text: &str) -> Result<http::Method, String> {
    match http::Method::from_bytes(text.to_ascii_uppercase().as_bytes()) {
        Ok(http::Method::CONNECT | http::Method::TRACE) => {
            Err("a session cannot be made of that".to_owned())
        }
        Ok(method) => Ok(method),
        Err(_) => Err("write a method such as PUT".to_owned()),
    }
}

/// `10/s`, `100/m`, `5/2s`: so many in so much time.
pub(crate) fn rate(text: &str) -> Result<sockeye::Rate, String> {
    let wrong = || "write a rate such as 10/s, 100/m or 5/2s".to_owned();
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.parse().ok().filter(|count| *count > 0);
    let per = match per.starts_with(|c: char| c.is_ascii_digit()) {
        true => time(per)?,
        false => time(&format!("1{per}"))?,
    };
    if per.is_zero() {
        return Err(wrong());
    }
    Ok(sockeye::Rate {
        count: count.ok_or_else(wrong)?,
        per,
    })
}

/// A host name, in lower case: letters, digits, `-`, `_` and dots.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !name.is_empty() && name.bytes().all(fits) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err("write a host name such as box.example, without a port".to_owned()),
    }
}

/// `https://example.org`, `http://127.0.0.1:5173`: how a browser says whose page asks (RFC 6454, section 6.2); or
/// `*`.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    let fits = |(scheme, host): (&str, &str)| {
        let is_host = |letter: char| letter.is_ascii_graphic() && letter != '/';
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && !host.is_empty()
            && host.chars().all(is_host)
    };
    match origin == "*" || origin.split_once("://").is_some_and(fits) {
        true => Ok(origin.to_owned()),
        false => {
            Err("write an origin such as https://example.org, without a path, or *".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("3"), Ok(Duration::from_secs(3)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "3 s", "-1", "1w", "1e400"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("1G"), Ok(1 << 30));
        assert_eq!(size("1T"), Ok(1 << 40));
        for wrong in [
            "",
            "k",
            "1.5k",
            "1P",
            "99999999999999999999",
            "18446744073709551615G",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates() {
        let of = |count, seconds| sockeye::Rate {
            count,
            per: Duration::from_secs(seconds),
        };
        assert_eq!(rate("10/s"), Ok(of(10, 1)));
        assert_eq!(rate("100/m"), Ok(of(100, 60)));
        assert_eq!(rate("5/2s"), Ok(of(5, 2)));
        assert_eq!(rate("5/2"), Ok(of(5, 2)));
        for wrong in ["", "10", "0/s", "10/0s", "-1/s", "10/x", "/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers() {
        let (name, value) = header("X-Name:  a: b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-name", "a: b"));
        assert_eq!(header("Empty:").unwrap().1, "");
        for wrong in ["", "Name", "a b: c", ": c", "Name: a\nb"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields() {
        let name = |name: &'static str| http::HeaderName::from_static(name);
        let set = |text| match field(text) {
            Ok(Field::Set(name, value)) => format!("{name}={}", value.to_str().unwrap()),
            other => panic!("{other:?}"),
        };
        assert_eq!(set("X-A: b;"), "x-a=b;");
        assert_eq!(set("X-A;"), "x-a=");
        assert_eq!(field("Accept:"), Ok(Field::Without(name("accept"))));
        for wrong in ["", "Name", ";", "a b;", "a: b\nc"] {
            assert!(field(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn methods_as_they_are_written() {
        assert_eq!(token("purge").unwrap().as_str(), "purge");
        assert_eq!(token("GET"), Ok(http::Method::GET));
        for wrong in ["", "a b", "CONNECT"] {
            assert!(token(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn methods() {
        assert_eq!(method("put"), Ok(http::Method::PUT));
        assert_eq!(method("PURGE").unwrap().as_str(), "PURGE");
        for wrong in ["", "a b", "connect", "TRACE"] {
            assert!(method(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn origins() {
        for right in ["*", "https://example.org", "http://[::1]:5173"] {
            assert_eq!(origin(right).as_deref(), Ok(right));
        }
        assert_eq!(origin("http://a/").as_deref(), Ok("http://a"));
        for wrong in [
            "",
            "a",
            "//a",
            "http://",
            "http://a/b",
            "null",
            "http://a b",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names() {
        assert_eq!(host_name("Box.Example."), Ok("box.example".to_owned()));
        for wrong in ["", ".", "a b", "a:80", "http://a", "[::1]"] {
            assert!(host_name(wrong).is_err(), "{wrong}");
        }
    }
}
