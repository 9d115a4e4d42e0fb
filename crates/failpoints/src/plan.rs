//! What happens at which point: read from text, and done.

#[cfg(feature = "enabled")]
pub(crate) use enabled::{arm, pass};

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// This program has no fail points.
    #[error("this program was built without fail points")]
    NotBuilt,
    /// Something cannot be understood.
    #[error("fail points: {0:?} is not POINT=ACTION[@PASS[+]]")]
    Malformed(String),
    /// There is no such point.
    #[error("fail points: there is no point {0:?}")]
    Unknown(String),
}

#[cfg(not(feature = "enabled"))]
pub(crate) fn arm(plan: &str) -> Result<(), PlanError> {
    if plan.is_empty() { Ok(()) } else { Err(PlanError::NotBuilt) }
}

#[cfg(feature = "enabled")]
mod enabled {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    use super::PlanError;
    use crate::Point;

    static PLAN: OnceLock<Plan> = OnceLock::new();

    /// The rules of this process, and how often each point was passed.
    struct Plan {
        rules: Vec<Rule>,
        passes: Vec<AtomicU64>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Rule {
        point: Point,
        action: Action,
        first: u64,
        last: u64,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Kill,
        Panic,
        Sleep(Duration),
        Fail(Errno),
    }

    pub(crate) fn arm(text: &str) -> Result<(), PlanError> {
        let rules = parse(text)?;
        if !rules.is_empty() {
            let passes = Point::ALL.iter().map(|_| AtomicU64::new(0)).collect();
            PLAN.get_or_init(|| Plan { rules, passes });
        }
        Ok(())
    }

    fn parse(text: &str) -> Result<Vec<Rule>, PlanError> {
        text.split(';').map(str::trim).filter(|rule| !rule.is_empty()).map(parse_rule).collect()
    }

    fn parse_rule(text: &str) -> Result<Rule, PlanError> {
        let malformed = || PlanError::Malformed(text.to_owned());
        let (name, rest) = text.split_once('=').ok_or_else(malformed)?;
        let point = Point::ALL.iter().find(|point| point.name() == name);
        let point = *point.ok_or_else(|| PlanError::Unknown(name.to_owned()))?;
        let (action, passes) = rest.split_once('@').unwrap_or((rest, "1+"));
        let (first, open) = passes.strip_suffix('+').map_or((passes, false), |first| (first, true));
        let first = first.parse().ok().filter(|first| *first > 0).ok_or_else(malformed)?;
        let last = if open { u64::MAX } else { first };
        let action = parse_action(action).ok_or_else(malformed)?;
        Ok(Rule { point, action, first, last })
    }

    fn parse_action(text: &str) -> Option<Action> {
        let argument = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        match text {
            "kill" => return Some(Action::Kill),
            "panic" => return Some(Action::Panic),
            _ => {}
        }
        if let Some(milliseconds) = argument("sleep") {
            return milliseconds.parse().ok().map(Duration::from_millis).map(Action::Sleep);
        }
        let errno = match argument("error")? {
            "EIO" => Errno::IO,
            "ENOSPC" => Errno::NOSPC,
            "EDQUOT" => Errno::DQUOT,
            "EFBIG" => Errno::FBIG,
            _ => return None,
        };
        Some(Action::Fail(errno))
    }

    pub(crate) fn pass(point: Point) -> io::Result<()> {
        let Some(plan) = PLAN.get() else { return Ok(()) };
        let number = plan.passes[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let due = plan.rules.iter().filter(|rule| rule.point == point && (rule.first..=rule.last).contains(&number));
        due.into_iter().try_for_each(|rule| act(point, number, rule.action))
    }

    fn act(point: Point, number: u64, action: Action) -> io::Result<()> {
        let name = point.name();
        match action {
            Action::Kill => {
                eprintln!("fail point {name}: killed at pass {number}");
                kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
                // The signal is on its way to all threads; this one does nothing more.
                loop {
                    std::thread::park();
                }
            }
            Action::Panic => panic!("fail point {name}: panic at pass {number}"),
            Action::Sleep(duration) => {
                #[expect(clippy::disallowed_methods, reason = "a test asked for exactly this")]
                std::thread::sleep(duration);
                Ok(())
            }
            Action::Fail(errno) => Err(errno.into()),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_plan_is_read_or_refused() {
            let rule = |point, action, first, last| Rule { point, action, first, last };
            for (text, expected) in [
                ("", Ok(vec![])),
                ("log.frame.synced=kill@37", Ok(vec![rule(Point::FrameSynced, Action::Kill, 37, 37)])),
                (
                    " log.frame.sync=sleep(10000)@2+ ; views.commit=panic",
                    Ok(vec![
                        rule(Point::FrameSync, Action::Sleep(Duration::from_secs(10)), 2, u64::MAX),
                        rule(Point::ViewsCommit, Action::Panic, 1, u64::MAX),
                    ]),
                ),
                (
                    "log.segment.create=error(ENOSPC)@1",
                    Ok(vec![rule(Point::SegmentCreate, Action::Fail(Errno::NOSPC), 1, 1)]),
                ),
                ("log.frame=kill", Err(PlanError::Unknown("log.frame".to_owned()))),
                ("views.commit=kill@0", Err(PlanError::Malformed("views.commit=kill@0".to_owned()))),
                ("views.commit=error(E)", Err(PlanError::Malformed("views.commit=error(E)".to_owned()))),
                ("kill", Err(PlanError::Malformed("kill".to_owned()))),
            ] {
                assert_eq!(parse(text), expected, "{text}");
            }
        }

        #[test]
        fn names_are_distinct_and_numbers_are_places() {
            for (place, point) in Point::ALL.iter().enumerate() {
                assert_eq!(*point as usize, place);
                assert_eq!(Point::ALL.iter().filter(|other| other.name() == point.name()).count(), 1, "{point:?}");
            }
        }
    }
}
