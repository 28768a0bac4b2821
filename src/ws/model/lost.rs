//! The connection between two bridges is lost at any moment: before the marker, between the markers, before the Closes. Each end
//! then sees an error, or the end that it had been told before; none waits for ever.

use super::*;

/// Ends a connection for both of its ends, as a proxy does that is killed.
pub(super) async fn lose(after: Duration, client: Port, server: Port) {
    tokio::time::sleep(after).await;
    client.reset();
    server.reset();
}

/// What is wrong with what the ends saw: bytes that were not sent, an end of what was not ended, or no end at all.
fn differences(played: &Played) -> Vec<String> {
    let mut found = Vec::new();
    for (name, from, to) in [("left to right", 0, 1), ("right to left", 1, 0)] {
        let (sent, seen) = (&played.sent[from], &played.seen[to]);
        if let Some(at) = seen.wrong_at {
            found.push(format!("{name}: byte {at} is not the one that was sent"));
        }
        match seen.end.map(|end| end.0) {
            Some(End::Eof) if sent.fin_at.is_none() || seen.bytes != sent.bytes => {
                found.push(format!(
                    "{name}: EOF after {} of {} bytes",
                    seen.bytes, sent.bytes
                ));
            }
            None if played.sent[to].reset_at.is_none() => {
                found.push(format!("{name}: neither end nor error"));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn an_end_whose_bridges_lose_each_other_is_told_so() {
    seeds(500, |dice| {
        let lines = lines(dice, 3);
        let scripts = [Script::random(dice), Script::random(dice)];
        let after = dice.millis(&[(1, 50), (1, 1000), (1, 20_000)]);
        let played = run(play_until_lost(&scripts, &[AGREED], &lines, Some(after)));
        let found = differences(&played);
        (history(&scripts, &played, &(lines, after)), found)
    });
}
