//! The file of facts about a target registry: a small TOML document (docs/target-facts.md).
//!
//! Written by `airferry doctor --facts` and read by `export --for`. Strict: an unknown key or a
//! value of another type is an error with its line, because a misspelled key would be no advice.

use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use crate::model::{Fact, TargetFacts};

/// The first key of the file, with the only version there is.
const FORMAT: &str = "airferry-target-v1";

/// Maximum length of a file in bytes.
pub const CAP: u64 = 64 << 10;

/// Maximum length of a text in the file.
const TEXT: usize = 200;

/// Reason for which a text is not a file of facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct FactsError {
    /// The line, from 1.
    pub line: usize,
    /// The reason, as a clause.
    pub reason: String,
}

/// Reads a file of facts.
///
/// # Errors
///
/// [`FactsError`] with the line of a syntax error, an unknown key, or a value that does not fit.
pub fn read(text: &str) -> Result<TargetFacts, FactsError> {
    let at = |offset: usize, reason: String| FactsError {
        line: text.get(..offset).unwrap_or(text).matches('\n').count() + 1,
        reason,
    };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        at(
            offset,
            format!("it is not TOML: {}", one_line(error.message())),
        )
    })?;
    let mut facts = TargetFacts::default();
    let mut format = None;
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        let refuse = |reason: String| at(key.span().start, reason);
        let wrong = |expected: &str| refuse(format!("`{name}` must be {expected}"));
        let value = value.get_ref();
        match name {
            "format" => format = Some(text_of(value).ok_or_else(|| wrong("a text"))?),
            "software" => facts.software = Some(text_of(value).ok_or_else(|| wrong(A_TEXT))?),
            "target" => facts.target = Some(text_of(value).ok_or_else(|| wrong(A_TEXT))?),
            "max-components" => {
                let number = number_of(value).and_then(|n| u32::try_from(n).ok());
                let number = number.filter(|number| *number >= 1);
                facts.max_components = Some(number.ok_or_else(|| wrong("a number from 1"))?);
            }
            "namespace-components" => {
                let number = number_of(value).and_then(|n| u32::try_from(n).ok());
                let number = number.filter(|number| *number <= 100);
                facts.namespace_components =
                    Some(number.ok_or_else(|| wrong("a number from 0 to 100"))?);
            }
            "max-layer-bytes" => {
                let number = number_of(value).filter(|number| *number >= 1);
                facts.max_layer_bytes = Some(number.ok_or_else(|| wrong("a number from 1"))?);
            }
            other => {
                let fact = Fact::of_key(other)
                    .ok_or_else(|| refuse(format!("unknown key `{}`", one_line(other))))?;
                let DeValue::Boolean(known) = value else {
                    return Err(wrong("true or false; leave out the line if it is unknown"));
                };
                facts.set(fact, Some(*known));
            }
        }
    }
    match format.as_deref() {
        Some(FORMAT) => Ok(facts),
        Some(_) => Err(at(
            0,
            format!("`format` must be \"{FORMAT}\": the file is of another version of airferry"),
        )),
        None => Err(at(0, format!("`format = \"{FORMAT}\"` is missing"))),
    }
}

const A_TEXT: &str = "a text of at most 200 printable ASCII characters";

fn text_of(value: &DeValue<'_>) -> Option<String> {
    let DeValue::String(text) = value else {
        return None;
    };
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    (text.len() <= TEXT && text.chars().all(plain)).then(|| text.to_string())
}

fn number_of(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .take(100)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

/// Writes facts as a file. What is unknown is left out.
pub fn write(facts: &TargetFacts) -> String {
    let mut text = format!(
        "# What `airferry doctor` found about a target registry. For `airferry export --for`.\n\
         # A line that is missing means: unknown. The file may be edited (docs/target-facts.md).\n\
         format = \"{FORMAT}\"\n"
    );
    for (key, value) in [("software", &facts.software), ("target", &facts.target)] {
        if let Some(value) = value {
            let plain: String = value
                .chars()
                .filter(|c| (c.is_ascii_graphic() || *c == ' ') && !matches!(c, '"' | '\\'))
                .take(TEXT)
                .collect();
            let _ = writeln!(text, "{key} = \"{plain}\"");
        }
    }
    let numbers = [
        ("max-components", facts.max_components.map(u64::from)),
        (
            "namespace-components",
            facts.namespace_components.map(u64::from),
        ),
        ("max-layer-bytes", facts.max_layer_bytes),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            let _ = writeln!(text, "{key} = {number}");
        }
    }
    for (fact, known) in &facts.known {
        let _ = writeln!(text, "{} = {known}", fact.key());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut facts = TargetFacts {
            software: Some("a \"quoted\" \\ name\n\u{202e}".to_owned()),
            target: Some("r.lan:5000/a".to_owned()),
            max_components: Some(2),
            namespace_components: Some(0),
            max_layer_bytes: Some(1 << 40),
            ..TargetFacts::default()
        };
        for (number, fact) in Fact::ALL.into_iter().enumerate() {
            facts.set(fact, Some(number % 2 == 0));
        }
        let again = read(&write(&facts)).unwrap();
        facts.software = Some("a quoted  name".to_owned());
        assert_eq!(again, facts);
        let nothing = TargetFacts::default();
        assert_eq!(read(&write(&nothing)).unwrap(), nothing);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        let head = "format = \"airferry-target-v1\"\n";
        for (rest, line, reason) in [
            (
                "\nsparse-indexes = true\n",
                3,
                "unknown key `sparse-indexes`",
            ),
            (
                "sparse-index = \"no\"\n",
                2,
                "`sparse-index` must be true or false",
            ),
            (
                "# a\n# b\nmax-components = 0\n",
                4,
                "`max-components` must be",
            ),
            ("max-components = -1\n", 2, "`max-components` must be"),
            ("max-layer-bytes = 1.5\n", 2, "`max-layer-bytes` must be"),
            ("push = true\npush = false\n", 3, "it is not TOML"),
            ("[registry]\npush = true\n", 2, "unknown key `registry`"),
            ("software = \"a\\u001b[31m\"\n", 2, "`software` must be"),
            ("push\n", 2, "it is not TOML"),
        ] {
            let error = read(&format!("{head}{rest}")).unwrap_err();
            assert_eq!(error.line, line, "{rest:?}: {error}");
            assert!(error.to_string().contains(reason), "{rest:?}: {error}");
        }
        assert!(read("").unwrap_err().to_string().contains("is missing"));
        let other = read("format = \"airferry-target-v2\"\n").unwrap_err();
        assert!(other.to_string().contains("another version"), "{other}");
    }
}
