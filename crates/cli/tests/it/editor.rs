//! The line editor as a person uses it: editor.py drives it through a pseudo-terminal.

use std::path::Path;

use crate::stage::program;

#[track_caller]
fn drive(test: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/editor.py");
    let words = [
        script.to_str().unwrap(),
        test,
        env!("CARGO_BIN_EXE_sockeye"),
    ];
    let ended = program("python3", words).run();
    assert_eq!(ended.code, 0, "{}", ended.err);
}

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            drive(stringify!($name));
        }
    )*};
}

tests! {
    a_half_typed_line_survives
    history
    ctrl_d_half_closes
    ctrl_c_says_goodbye
    the_peer_ends_first
    the_last_words_are_seen
    terminated
    escapes_do_not_drive_the_terminal
    a_character_in_two_pieces
    datagrams_are_lines
    commands_at_one_session
    a_line_that_no_frame_can_hold
    served_console
    served_console_interrupted
    a_script_at_a_terminal
}
