use super::testing::{
    MIB, Screen, advanced, finished, phase_started, retrying, started, started_from,
};
use super::*;
use crate::progress::Phase;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn lines_come_every_ten_seconds_and_retries_at_once() {
    let screen = Screen::default();
    let mut lines = Lines::new(screen.clone());
    lines.event(phase_started(2, 100 * MIB), seconds(0));
    lines.event(started_from("a", 60 * MIB, 20 * MIB), seconds(0));
    for second in 1..=25 {
        if second <= 20 {
            lines.event(advanced("a", 2 * MIB), seconds(second));
        }
        if second == 12 {
            lines.event(retrying(), seconds(12));
        }
        lines.tick(seconds(second));
    }
    lines.event(finished("a", true), seconds(25));
    let phase = Phase::Download;
    lines.event(Event::PhaseFinished { phase }, seconds(70));
    lines.tick(seconds(90));
    lines.close(seconds(90));
    assert_eq!(
        screen.text(),
        "\
download: 2 items, 100 MiB
download: 40 %, 40.0 MiB of 100 MiB, 2.0 MiB/s, 30 s left, 0 of 2 items
retry: GET https://r.example/v2/: connection reset (attempt 2 in 1.3 s)
download: 60 %, 60.0 MiB of 100 MiB, 2.0 MiB/s, 20 s left, 0 of 2 items
download: 60.0 MiB of 100 MiB in 1 min 10 s
"
    );
}

#[test]
fn json_begins_with_its_version_and_merges_advances() {
    let screen = Screen::default();
    let mut json = JsonLines::new(screen.clone());
    let ms = Duration::from_millis;
    json.event(started("a", 100), ms(0));
    for time in 0..30 {
        json.event(advanced("a", 1), ms(10 * time));
        json.tick(ms(10 * time));
    }
    json.event(advanced("b", 7), ms(300));
    json.event(finished("a", true), ms(301));
    json.note("stopping", ms(302));
    json.event(advanced("b", 8), ms(303));
    json.close(ms(304));
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!(r#"{{"event":"start","version":1,"airferry":"{version}"}}"#),
        r#"{"event":"item-started","phase":"download","item":"a","bytes":100,"bytes_cached":0}"#
            .to_owned(),
        r#"{"event":"item-advanced","phase":"download","item":"a","bytes":1}"#.to_owned(),
        r#"{"event":"item-advanced","phase":"download","item":"a","bytes":20}"#.to_owned(),
        r#"{"event":"item-advanced","phase":"download","item":"b","bytes":7}"#.to_owned(),
        r#"{"event":"item-advanced","phase":"download","item":"a","bytes":9}"#.to_owned(),
        r#"{"event":"item-finished","phase":"download","item":"a","ok":true}"#.to_owned(),
        r#"{"event":"note","message":"stopping"}"#.to_owned(),
        r#"{"event":"item-advanced","phase":"download","item":"b","bytes":8}"#.to_owned(),
    ];
    assert_eq!(screen.text().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_reader_that_went_away_stops_nothing() {
    let screen = Screen::broken();
    let mut json = JsonLines::new(screen.clone());
    json.event(phase_started(1, 1), seconds(0));
    let mut lines = Lines::new(screen);
    lines.event(phase_started(1, 1), seconds(0));
    json.close(seconds(1));
    lines.close(seconds(1));
}

#[test]
fn bars_need_a_terminal() {
    use ProgressMode as Mode;
    let really = |quiet, progress, terminal| ProgressArgs { quiet, progress }.mode(terminal);
    for (quiet, asked, terminal, mode) in [
        (false, Mode::Auto, true, Mode::Bars),
        (false, Mode::Auto, false, Mode::Lines),
        (false, Mode::Bars, false, Mode::Lines),
        (false, Mode::Lines, true, Mode::Lines),
        (false, Mode::Json, true, Mode::Json),
        (true, Mode::Auto, true, Mode::None),
    ] {
        assert_eq!(really(quiet, asked, terminal), mode);
    }
}

#[test]
fn text_of_strangers_cannot_move_the_cursor() {
    let message = "a\u{1b}[2J\u{202e}b\r\n".to_owned();
    let line = line_for(&Event::Warning { message });
    assert_eq!(line.as_deref(), Some("warning: a [2J b  "));
}
