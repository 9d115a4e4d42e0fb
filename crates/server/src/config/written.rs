//! The configuration as it is written: a TOML file, then the environment. Paths and values, each checked against the
//! table of keys, none interpreted yet.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, Kind};

/// A value of one of the kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a text or a choice.
    Text(String),
    /// Of a switch.
    Switch(bool),
    /// Of a number.
    Number(u64),
    /// Of a list of texts.
    Texts(Vec<String>),
}

/// The keys of one table.
pub type Values = BTreeMap<&'static str, Value>;

/// Everything that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All keys outside listeners, by path.
    pub values: Values,
    /// The listeners in their order, each with paths that begin with `listener.`.
    pub listeners: Vec<Values>,
}

/// What is wrong with what is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrittenError {
    /// No TOML.
    #[error("line {line}: {message}")]
    Toml {
        /// Where.
        line: usize,
        /// What.
        message: String,
    },
    /// No such key.
    #[error("{place}: unknown key `{path}`{}", .similar.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    Unknown {
        /// The line, or the variable.
        place: String,
        /// The key.
        path: String,
        /// A known one that is like it.
        similar: Option<&'static str>,
    },
    /// A value of the wrong kind.
    #[error("{place}: `{path}` has to be {wanted}")]
    Kind {
        /// The line, or the variable.
        place: String,
        /// The key.
        path: &'static str,
        /// What it has to be.
        wanted: String,
    },
}

impl Written {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, WrittenError> {
        let document = DeTable::parse(text).map_err(|error| WrittenError::Toml {
            line: error.span().map_or(1, |span| line_of(text, &span)),
            message: error.message().to_owned(),
        })?;
        let mut written = Self::default();
        for (key, value) in document.get_ref() {
            let place = Place { text, span: key.span() };
            written.take(key.get_ref(), value, &place)?;
        }
        Ok(written)
    }

    fn take(&mut self, name: &str, value: &Spanned<DeValue<'_>>, place: &Place<'_>) -> Result<(), WrittenError> {
        match value.get_ref() {
            DeValue::Array(listeners) if name == "listener" => {
                for listener in listeners {
                    let DeValue::Table(table) = listener.get_ref() else { return Err(place.unknown(name)) };
                    let mut values = Values::new();
                    take_table(&mut values, name, table, place.text)?;
                    self.listeners.push(values);
                }
                Ok(())
            }
            DeValue::Table(table) if name != "listener" && keys::is_table(name) => {
                take_table(&mut self.values, name, table, place.text)
            }
            _ if keys::is_table(name) => {
                let shape = if name == "listener" { "tables: [[listener]]" } else { "a table" };
                Err(WrittenError::Toml { line: place.line(), message: format!("`{name}` has to be {shape}") })
            }
            value => take_value(&mut self.values, name, value, place),
        }
    }

    /// Lets the environment override the file. A variable that is like none of the keys is somebody else's.
    pub fn override_by(&mut self, environment: impl Iterator<Item = (String, String)>) -> Result<(), WrittenError> {
        for (variable, text) in environment {
            let Some(name) = variable.strip_prefix("ENGRAM_") else { continue };
            let path = name.replace("__", ".").to_ascii_lowercase();
            if path.starts_with("listener") || path == "listen" || path == "config" {
                continue;
            }
            let Some(key) = keys::find(&path) else {
                match keys::similar(&path) {
                    similar @ Some(_) => return Err(WrittenError::Unknown { place: variable, path, similar }),
                    None => continue,
                }
            };
            let wrong = || WrittenError::Kind { place: variable.clone(), path: key.path, wanted: key.kind.describe() };
            self.values.insert(key.path, from_text(key, &text).ok_or_else(wrong)?);
        }
        Ok(())
    }
}

struct Place<'a> {
    text: &'a str,
    span: Range<usize>,
}

impl Place<'_> {
    fn line(&self) -> usize {
        line_of(self.text, &self.span)
    }

    fn describe(&self) -> String {
        format!("line {}", self.line())
    }

    fn unknown(&self, path: &str) -> WrittenError {
        WrittenError::Unknown { place: self.describe(), path: path.to_owned(), similar: keys::similar(path) }
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

fn take_table(values: &mut Values, table: &str, entries: &DeTable<'_>, text: &str) -> Result<(), WrittenError> {
    for (key, value) in entries {
        let place = Place { text, span: key.span() };
        take_value(values, &format!("{table}.{}", key.get_ref()), value.get_ref(), &place)?;
    }
    Ok(())
}

fn take_value(values: &mut Values, path: &str, value: &DeValue<'_>, place: &Place<'_>) -> Result<(), WrittenError> {
    let key = keys::find(path).ok_or_else(|| place.unknown(path))?;
    let wrong = || WrittenError::Kind { place: place.describe(), path: key.path, wanted: key.kind.describe() };
    values.insert(key.path, from_toml(key, value).ok_or_else(wrong)?);
    Ok(())
}

fn from_toml(key: &Key, value: &DeValue<'_>) -> Option<Value> {
    match (key.kind, value) {
        (Kind::Switch, DeValue::Boolean(switch)) => Some(Value::Switch(*switch)),
        (Kind::Texts, DeValue::Array(texts)) => {
            let texts: Option<Vec<String>> =
                texts.iter().map(|text| Some(text.get_ref().as_str()?.to_owned())).collect();
            texts.map(Value::Texts)
        }
        (Kind::Number, DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Number)
        }
        (Kind::Text | Kind::Choice(_), DeValue::String(text)) => from_text(key, text),
        _ => None,
    }
}

fn from_text(key: &Key, text: &str) -> Option<Value> {
    match key.kind {
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        Kind::Switch => text.parse().ok().map(Value::Switch),
        Kind::Number => text.parse().ok().map(Value::Number),
        Kind::Texts => Some(Value::Texts(text.split(',').map(|part| part.trim().to_owned()).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[(&str, Value)], &str>) {
        let outcome = Written::parse(text).map(|written| written.values.into_iter().collect::<Vec<_>>());
        let outcome = outcome.map_err(|error| error.to_string());
        assert_eq!(outcome.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn known_keys_are_taken_and_others_refused_by_line() {
        check("", Ok(&[]));
        check("server_name = \"a.b\"", Ok(&[("server_name", Value::Text("a.b".to_owned()))]));
        check("[registration]\nopen = true", Ok(&[("registration.open", Value::Switch(true))]));
        check("limits.connections = 0x10", Ok(&[("limits.connections", Value::Number(16))]));
        check("\nservername = \"a\"", Err("line 2: unknown key `servername`; did you mean `server_name`?"));
        check(
            "[registration]\n\nopne = true",
            Err("line 3: unknown key `registration.opne`; did you mean `registration.open`?"),
        );
        check("[registratoin]\nopen = true", Err("line 1: unknown key `registratoin`; did you mean `registration`?"));
        check("zzz = 1", Err("line 1: unknown key `zzz`"));
        check("[registration]\nopen = \"yes\"", Err("line 2: `registration.open` has to be true or false"));
        check(
            "[password_hash]\ncost = \"low\"",
            Err("line 2: `password_hash.cost` has to be \"standard\" or \"minimal\""),
        );
        check("listener = 1", Err("line 1: `listener` has to be tables: [[listener]]"));
        assert!(Written::parse("a = ").is_err());
    }

    #[test]
    fn listeners_keep_their_order() {
        let text = "[[listener]]\nbind = \"a:1\"\n[[listener]]\nbind = \"b:2\"\ntls_cert = \"c\"\n";
        let written = Written::parse(text).expect("two listeners");
        let binds: Vec<_> = written.listeners.iter().map(|listener| listener["listener.bind"].clone()).collect();
        assert_eq!(binds, [Value::Text("a:1".to_owned()), Value::Text("b:2".to_owned())]);
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let variables = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut written = Written::parse("server_name = \"a\"\n[registration]\nopen = true").expect("a file");
        let environment = [
            ("ENGRAM_SERVER_NAME", "b"),
            ("ENGRAM_REGISTRATION__OPEN", "false"),
            ("ENGRAM_BINARY", "/bin/engram"),
            ("PATH", "/bin"),
        ];
        written.override_by(variables(&environment).into_iter()).expect("good variables");
        assert_eq!(written.values["server_name"], Value::Text("b".to_owned()));
        assert_eq!(written.values["registration.open"], Value::Switch(false));
        for (name, value) in [("ENGRAM_SERVERNAME", "b"), ("ENGRAM_REGISTRATION__OPEN", "perhaps")] {
            assert!(written.override_by(variables(&[(name, value)]).into_iter()).is_err(), "{name}");
        }
    }
}
