//! Frames of file transfers: what is read is written the same, and the paths in them lead nowhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::transfer::{Frame, RelativePath, Step, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match decode(rest) {
            Ok(Step::NeedMore) | Err(_) => break,
            Ok(Step::Data { skip, length }) => {
                assert!(length > 0);
                rest = rest.get(skip + length..).unwrap_or_default();
            }
            Ok(Step::Frame { frame, length }) => {
                if frame != Frame::Later {
                    let mut again = Vec::new();
                    encode(&frame, &mut again);
                    // Reasons that are not known yet are read as another one, and written as that.
                    if !matches!(decode(&again), Ok(Step::Frame { frame: read, .. }) if read == frame)
                    {
                        panic!("{frame:?} is read back as something else");
                    }
                }
                rest = &rest[length..];
            }
        }
    }
    if let Ok(path) = RelativePath::new(bytes) {
        assert_eq!(path.as_bytes(), bytes);
        assert!(
            path.names()
                .all(|name| !matches!(name, b"" | b"." | b"..") && name.len() <= 255)
        );
        assert!(!bytes.contains(&0) && !bytes.starts_with(b"/"));
        assert!(!path.to_string().chars().any(char::is_control));
        if let Some(folder) = path.folder() {
            assert_eq!([folder.as_bytes(), b"/", path.name()].concat(), bytes);
        }
    }
});
