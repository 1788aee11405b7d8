//! The line editor as a person uses it: editor.py, and chat_editor.py for `chat`, drive it through a pseudo-terminal.

use std::path::Path;

use crate::stage::program;

#[track_caller]
fn drive(script: &str, test: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let script = folder.join(script);
    let words = [
        script.to_str().unwrap(),
        test,
        env!("CARGO_BIN_EXE_sockeye"),
    ];
    let ended = program("python3", words).run();
    assert_eq!(ended.code, 0, "{}", ended.err);
}

macro_rules! tests {
    ($script:literal: $($name:ident)*) => {$(
        #[test]
        fn $name() {
            drive($script, stringify!($name));
        }
    )*};
}

tests! { "editor.py":
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

tests! { "chat_editor.py":
    in_a_chat_a_half_typed_line_survives
    in_a_chat_names_have_colours
    in_a_chat_no_colour_is_shown_to_who_wants_none
    in_a_chat_escapes_do_not_drive_the_terminal
    in_a_chat_other_rooms_are_counted_in_the_prompt
    in_a_chat_names_commands_and_rooms_are_completed
    in_a_chat_the_prompt_names_the_room
    in_a_chat_a_lost_connection_comes_back
    in_a_chat_a_refused_line_is_told
    in_a_chat_the_end_of_input_waits_for_what_was_said
    in_a_chat_passwords_are_not_remembered
}
