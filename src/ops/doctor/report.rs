//! The report of a doctor.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Class, Error};
use crate::model::{Fact, TargetFacts};
use crate::plan::doctor::{Verdict, advice, is_needed, title};

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was looked at.
    pub subject: String,
    /// Whether it is well.
    pub verdict: Verdict,
    /// What was found; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// True if an export or import will fail because of it.
    pub is_problem: bool,
    #[serde(skip)]
    class: Option<Class>,
}

/// The report of a doctor.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The checks, in order.
    pub lines: Vec<Line>,
    /// Facts about the target, by the keys of the file of facts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<&'static str, bool>,
    /// What probes have left on the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    /// All facts about the target, for the file.
    #[serde(skip)]
    pub target: TargetFacts,
    /// True if the target answered, so that `target` says something about it.
    #[serde(skip)]
    pub target_reached: bool,
    #[serde(skip)]
    words: BTreeMap<Fact, String>,
}

impl Report {
    /// Adds a check that found nothing wrong.
    pub(super) fn ok(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.add(subject.into(), Verdict::Ok, found.into(), None, None);
    }

    /// Adds a check without a result.
    pub(super) fn unknown(
        &mut self,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: Option<String>,
    ) {
        self.add(subject.into(), Verdict::Unknown, found.into(), advice, None);
    }

    /// Adds something to know that stops nothing.
    pub(super) fn note(
        &mut self,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: Option<String>,
    ) {
        self.add(subject.into(), Verdict::Not, found.into(), advice, None);
    }

    /// Adds a check that found a problem; `class` decides the exit code.
    pub(super) fn problem(
        &mut self,
        class: Class,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: Option<String>,
    ) {
        let (subject, found) = (subject.into(), found.into());
        self.add(subject, Verdict::Not, found, advice, Some(class));
    }

    fn add(
        &mut self,
        subject: String,
        verdict: Verdict,
        found: String,
        advice: Option<String>,
        class: Option<Class>,
    ) {
        self.lines.push(Line {
            subject,
            verdict,
            found,
            advice,
            is_problem: class.is_some(),
            class,
        });
    }

    /// Records a fact about the target, with the registry's words if it refused.
    pub(super) fn fact(&mut self, fact: Fact, known: Option<bool>, words: Option<String>) {
        self.target.set(fact, known);
        if let Some(words) = words {
            self.words.insert(fact, words);
        }
    }

    /// Adds a line for each fact about the target.
    pub(super) fn add_facts(&mut self) {
        for fact in Fact::ALL {
            let known = self.target.get(fact);
            let words = self.words.remove(&fact).unwrap_or_default();
            let lack = match known {
                Some(false) => advice(fact).map(str::to_owned),
                _ => None,
            };
            let class = (known == Some(false) && is_needed(fact)).then_some(Class::Target);
            let subject = title(fact).to_owned();
            self.add(subject, Verdict::of(known), words, lack, class);
        }
        self.facts = self
            .target
            .known
            .iter()
            .map(|(f, k)| (f.key(), *k))
            .collect();
    }

    /// Returns the failure for what was found; `None` if all is well.
    pub fn failure(&self) -> Option<Error> {
        let problems = || self.lines.iter().filter(|line| line.is_problem);
        let class = problems().filter_map(|line| line.class).max()?;
        let names: Vec<&str> = problems().map(|line| line.subject.as_str()).collect();
        let message = format!("Not ready: {}", names.join(", "));
        Some(Error::new(class, message).hint("do what the lines above say, then run doctor again"))
    }
}
