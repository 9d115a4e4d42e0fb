//! Wherever the sender is killed: nothing is lost, nothing comes twice under another transaction ID, and the order
//! stays.

use engram_views::testing::TestViews;
use proptest::prelude::*;

use super::world::{KILLS, Kill, Manner, Posts, World, target};

fn texts(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("letter {number}")).collect()
}

#[test]
fn killed_once_at_every_point_of_every_parcel() {
    let mut repeated = 0;
    for kill in KILLS {
        for at in 0..4 {
            let mut world = World::new();
            for (number, text) in texts(0, 8).iter().enumerate() {
                if number == at * 2 {
                    world.kill = Some(kill);
                }
                world.post("b.org", text);
                world.step();
            }
            world.until(world.now + 120_000);
            assert_eq!(world.letters("b.org"), texts(0, 8), "{kill:?} at {at}");
            assert!(world.is_empty(), "{kill:?} at {at}: everything is acknowledged");
            assert_eq!(world.crashes, 1, "{kill:?} at {at}");
            repeated += world.receivers["b.org"].repeated;
        }
    }
    assert_eq!(
        repeated,
        3 * 4,
        "what was sent and not recorded is sent again: killed after sending, after the answer, and with the receipt"
    );
}

/// What comes while a parcel is under way must not change what a repetition of it holds.
#[test]
fn what_is_listed_meanwhile_is_no_part_of_what_is_sent_again() {
    let mut world = World::new();
    world.post("b.org", "letter 0");
    world.kill = Some(Kill::AfterSending);
    world.step();
    for text in texts(1, 9) {
        world.post("b.org", &text);
    }
    world.until(world.now + 1_000);
    assert_eq!(world.letters("b.org"), texts(0, 9));
    assert_eq!(world.receivers["b.org"].repeated, 1);
}

#[test]
fn views_built_anew_send_nothing_again() {
    let mut world = World::new();
    for (number, text) in texts(0, 20).iter().enumerate() {
        world.post(["a.org", "b.org"][number % 2], text);
    }
    world.until(world.now + 1_000);
    let end = world.end();
    world.kill = Some(Kill::WhenApplied);
    world.post("c.org", "the last");
    world.step();
    assert_eq!(world.crashes, 1);
    world.until(world.now + 120_000);
    assert!(world.end() > end);
    assert!(world.receivers.values().all(|receiver| receiver.repeated == 0), "everything was acknowledged");
}

#[test]
fn a_list_is_a_function_of_the_log() {
    let mut world = World::new();
    world.manners.insert("dead.org".to_owned(), Manner::Silent(30_000));
    for (number, text) in texts(0, 12).iter().enumerate() {
        world.post(["a.org", "dead.org"][number % 2], text);
        world.step();
    }
    let live = world.views.settle().digests().expect("readable");
    let anew = TestViews::over(world.views.log.prefix(usize::MAX), vec![Box::new(Posts)], Vec::new());
    assert_eq!(anew.settle().digests().expect("readable"), live);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_everything_arrives_once_and_in_order(
        steps in proptest::collection::vec((0u8..10, 0usize..3, 0u64..5_000), 1..40),
    ) {
        const NAMES: [&str; 3] = ["a.org", "b.org", "c.org"];
        let mut world = World::new();
        let mut posted: [Vec<String>; 3] = Default::default();
        for (number, (action, who, time)) in steps.into_iter().enumerate() {
            match action {
                0..=4 => {
                    let text = format!("letter {number}");
                    world.post(NAMES[who], &text);
                    posted[who].push(text);
                }
                5 => world.kill = Some(KILLS[number % KILLS.len()]),
                6 => _ = world.manners.insert(NAMES[who].to_owned(), Manner::Silent(time)),
                7 => _ = world.manners.insert(NAMES[who].to_owned(), Manner::Refuses(time)),
                8 => _ = world.manners.insert(NAMES[who].to_owned(), Manner::Answers(time)),
                _ => world.desk.alive(&target(NAMES[who])),
            }
            world.until(world.now + time);
        }
        world.manners.clear();
        world.until(world.now + 300_000);
        for (name, posted) in NAMES.iter().zip(posted) {
            prop_assert_eq!(world.letters(name), posted);
        }
        prop_assert!(world.is_empty());
    }
}
