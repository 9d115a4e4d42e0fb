//! A password from the flag, the terminal or standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{Error, Result};

/// The flag if it is given; else what is typed, twice and unseen; else the first line of standard input.
pub(super) fn get(flag: Option<String>) -> Result<String> {
    let password = match flag {
        Some(password) => password,
        None if io::stdin().is_terminal() => ask()?,
        None => read_line().map_err(Error::Password)?,
    };
    if password.is_empty() { Err(Error::NoPassword) } else { Ok(password) }
}

fn ask() -> Result<String> {
    let first = ask_once("Password: ").map_err(Error::Password)?;
    let second = ask_once("Once more: ").map_err(Error::Password)?;
    if first == second { Ok(first) } else { Err(Error::PasswordsDiffer) }
}

fn ask_once(prompt: &str) -> io::Result<String> {
    write!(io::stderr(), "{prompt}")?;
    let unseen = Unseen::begin()?;
    let line = read_line();
    drop(unseen);
    // The line break that was typed was not seen either.
    writeln!(io::stderr())?;
    line
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// As long as it lives, the terminal does not show what is typed.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
