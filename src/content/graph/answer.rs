//! The update service's JSON answer, decoded as it is written. Fields that are not needed are
//! skipped, and long lists are cut off at their limits, so that memory stays bounded.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::{MAX_EDGES, MAX_GROUPS, MAX_NODES, MAX_RISKS};

/// The names of all fields below, as serde expects them.
pub(super) const FIELDS: [&str; 12] = [
    "nodes",
    "edges",
    "conditionalEdges",
    "version",
    "payload",
    "metadata",
    "io.openshift.upgrades.graph.release.channels",
    "url",
    "risks",
    "from",
    "to",
    "name",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) nodes: AtMost<Option<RawNode<'a>>, MAX_NODES>,
    #[serde(default)]
    pub(super) edges: Option<AtMost<(u64, u64), MAX_EDGES>>,
    #[serde(default, borrow)]
    pub(super) conditional_edges: Option<AtMost<Option<RawGroup<'a>>, MAX_GROUPS>>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawNode<'a> {
    #[serde(default, borrow)]
    pub(super) version: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) payload: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) metadata: Option<RawMetadata<'a>>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawMetadata<'a> {
    /// Channel names, separated by commas.
    #[serde(
        default,
        borrow,
        rename = "io.openshift.upgrades.graph.release.channels"
    )]
    pub(super) channels: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) url: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawGroup<'a> {
    #[serde(default, borrow)]
    pub(super) edges: Option<AtMost<Option<RawEdge<'a>>, MAX_EDGES>>,
    #[serde(default, borrow)]
    pub(super) risks: Option<AtMost<Option<RawRisk<'a>>, MAX_RISKS>>,
}

#[derive(Deserialize)]
pub(super) struct RawEdge<'a> {
    #[serde(default, borrow)]
    pub(super) from: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) to: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct RawRisk<'a> {
    #[serde(default, borrow)]
    pub(super) name: Option<Text<'a>>,
}

/// A string, borrowed from the input if it has no escapes.
#[derive(Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Texts)
    }
}

/// A list of which at most `LIMIT` items are kept; all of them are counted.
#[derive(Debug)]
pub(super) struct AtMost<T, const LIMIT: usize> {
    /// The first `LIMIT` items.
    pub(super) items: Vec<T>,
    /// Number of items in the answer.
    pub(super) count: usize,
}

impl<T, const LIMIT: usize> Default for AtMost<T, LIMIT> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            count: 0,
        }
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for AtMost<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const LIMIT: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for List<T, LIMIT> {
            type Value = AtMost<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = AtMost::default();
                while list.items.len() < LIMIT
                    && let Some(item) = seq.next_element()?
                {
                    list.items.push(item);
                }
                list.count = list.items.len();
                // Only for a full list: after `None`, `next_element` must not be called again.
                if list.count == LIMIT {
                    while seq.next_element::<IgnoredAny>()?.is_some() {
                        list.count = list.count.saturating_add(1);
                    }
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}
