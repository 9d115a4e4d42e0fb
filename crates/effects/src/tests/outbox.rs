//! The list: what is in a parcel, and whose.

use engram_views::testing::TestViews;

use super::world::{OUTBOX, PARCEL_MAX, Posts, letter, target};
use crate::{Parcel, Target};

fn texts(parcel: Option<Parcel>) -> Vec<String> {
    let entries = parcel.map(|parcel| parcel.entries).unwrap_or_default();
    entries.iter().map(|(_, note)| String::from_utf8(note.to_vec()).expect("text")).collect()
}

#[test]
fn a_parcel_stays_what_it_is_until_it_is_acknowledged() {
    let views = TestViews::new(vec![Box::new(Posts)]);
    let to = target("b.org");
    let parcel = || OUTBOX.parcel(&*views.settle(), &to, PARCEL_MAX).expect("readable");
    assert_eq!(parcel(), None);
    for text in ["a", "b", "c", "d", "e"] {
        views.log.journal(letter("b.org", text), 1);
        assert_eq!(texts(parcel()), ["a"], "the first goes alone");
    }
    views.log.journal(parcel().expect("there").receipt("another", &to), 1);
    assert_eq!(texts(parcel()), ["a"], "another effect's receipt");
    views.log.journal(parcel().expect("there").receipt("post", &to), 1);
    let second = parcel().expect("there");
    views.log.journal(letter("b.org", "f"), 1);
    assert_eq!(texts(parcel()), ["b", "c", "d"], "then what has come meanwhile, as much as a parcel holds");
    views.log.journal(second.receipt("post", &to), 1);
    views.log.journal(second.receipt("post", &to), 1);
    assert_eq!(texts(parcel()), ["e", "f"], "a receipt that comes twice strikes off nothing more");
    views.log.journal(parcel().expect("there").receipt("post", &to), 1);
    assert_eq!(parcel(), None);
    assert_eq!(OUTBOX.targets(&*views.settle(), None, 9).expect("readable"), []);
}

#[test]
fn targets_are_listed_by_seeks_and_their_names_may_begin_alike() {
    let views = TestViews::new(vec![Box::new(Posts)]);
    let names = ["b", "a", "ab", "abc", "a.org"];
    for round in 0..3 {
        for name in names {
            views.log.journal(letter(name, &format!("{name}{round}")), 1);
        }
    }
    let snapshot = views.settle();
    let all = OUTBOX.targets(&*snapshot, None, 9).expect("readable");
    assert_eq!(all.len(), names.len());
    assert!(names.iter().all(|name| all.contains(&target(name))));
    let mut paged = Vec::new();
    while let Some(next) = OUTBOX.targets(&*snapshot, paged.last(), 1).expect("readable").pop() {
        paged.push(next);
    }
    assert_eq!(paged, all);
    for name in names {
        let parcel = OUTBOX.parcel(&*snapshot, &target(name), PARCEL_MAX).expect("readable");
        assert_eq!(texts(parcel), [format!("{name}0")], "its own alone");
    }
}

#[test]
fn a_name_is_neither_empty_nor_endless() {
    assert!(Target::new("").is_none());
    assert!(Target::new(&"x".repeat(1_024)).is_some());
    assert!(Target::new(&"x".repeat(1_025)).is_none());
}
