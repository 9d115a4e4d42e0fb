//! One receiver that is dead or slow delays nobody, and however many there are, memory is bounded.

use std::time::Duration;

use super::world::{Manner, Post, SLOTS, World, target};
use crate::{Backoff, Desk};

/// When the letters to the living arrive.
fn arrivals(dead: Option<Manner>) -> Vec<u64> {
    let mut world = World::new();
    world.manners.extend(dead.map(|manner| ("dead.org".to_owned(), manner)));
    world.manners.insert("slow.org".to_owned(), Manner::Answers(7_000));
    for number in 0..30 {
        world.post("dead.org", &format!("lost {number}"));
        world.post("b.org", &format!("letter {number}"));
        world.post("slow.org", &format!("patience {number}"));
        world.until(world.now + 500);
    }
    (0..30).map(|number| world.arrivals[&format!("letter {number}")]).collect()
}

#[test]
fn one_dead_receiver_delays_nobody() {
    let without = arrivals(None);
    for manner in [Manner::Silent(30_000), Manner::Refuses(0), Manner::Refuses(20_000), Manner::Answers(60_000)] {
        assert_eq!(arrivals(Some(manner)), without);
    }
}

#[test]
fn many_dead_receivers_leave_slots_to_the_living() {
    let mut world = World::new();
    for number in 0..20 {
        let name = format!("dead{number}.org");
        world.manners.insert(name.clone(), Manner::Silent(10_000));
        world.post(&name, &format!("lost {number}"));
    }
    // They are found out.
    world.until(world.now + 60_000);
    for number in 0..50 {
        world.post("b.org", &format!("letter {number}"));
        let posted = world.now;
        world.until(world.now + 777);
        assert_eq!(world.arrivals[&format!("letter {number}")], posted, "at once");
    }
}

#[test]
fn a_sign_of_life_ends_the_pause() {
    let mut world = World::new();
    world.manners.insert("b.org".to_owned(), Manner::Refuses(0));
    world.post("b.org", "letter 0");
    world.until(world.now + 40_000);
    world.manners.clear();
    world.post("b.org", "letter 1");
    world.step();
    assert!(world.letters("b.org").is_empty(), "news for it is no sign of life");
    world.desk.alive(&target("b.org"));
    world.step();
    assert_eq!(world.letters("b.org"), ["letter 0", "letter 1"]);
}

#[test]
fn memory_is_bounded_however_long_the_list_is() {
    let mut world = World::new();
    let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
    world.desk = Desk::with_targets_max(Post, SLOTS, backoff, 16);
    for number in 0..200 {
        let name = format!("dead{number}.org");
        world.manners.insert(name.clone(), Manner::Refuses(10));
        for letter in 0..5 {
            world.post(&name, &format!("lost {number}.{letter}"));
        }
    }
    for number in 0..20 {
        world.post("b.org", &format!("letter {number}"));
        world.until(world.now + 20_000);
        assert!(world.desk.remembered() <= 16);
        assert!(world.letters("b.org").len() > number, "the living are found among them");
    }
    world.manners.clear();
    world.until(world.now + 600_000);
    assert!(world.is_empty(), "and they are when they live again");
    assert!((0..200).all(|number| world.letters(&format!("dead{number}.org")).len() == 5));
}
