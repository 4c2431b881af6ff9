//! Reads an object of a catalog's document as `opm` does, by the rules of Go's `encoding/json`:
//! keys in any case, and of several equal keys the last value that is not `null`.
//!
//! Values stay unparsed until they are requested, so that a bundle's manifests, nearly all of a
//! catalog's bytes, are skipped and not copied.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::content::go_json::same_key;

/// The fields of an object, in the order written.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// The fault in a value, on one line, for messages.
pub(super) type FaultText = String;

impl<'a> Object<'a> {
    /// Parses an object.
    pub(super) fn parse(json: &'a str) -> Result<Self, FaultText> {
        serde_json::from_str(json).map_err(|error| wrong(&error))
    }

    /// All fields, in the order written.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// A field's value; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let fields = self.0.iter().rev();
        let mut values = fields.filter(|(name, _)| same_key(name, key));
        let found = values.find(|(_, value)| value.get() != "null");
        found.map(|(_, value)| *value)
    }

    /// A key that occurs twice, in any case.
    fn repeated_key(&self) -> Option<&str> {
        let mut keys: Vec<(String, &str)> = self
            .0
            .iter()
            .map(|(key, _)| (key.to_ascii_lowercase(), key.as_ref()))
            .collect();
        keys.sort_unstable();
        keys.windows(2).find_map(|pair| match pair {
            [(a, _), (b, key)] if a == b => Some(*key),
            _ => None,
        })
    }

    /// A string field; empty strings count as absent, as in Go.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, FaultText> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let text: String =
            serde_json::from_str(value.get()).map_err(|_| format!("`{key}` is not a text"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Passes each object of a list field to `take`, one at a time; an absent list is empty. `null`
    /// items are skipped.
    pub(super) fn each(
        &self,
        items: &Items,
        key: &str,
        take: &mut dyn FnMut(Object<'a>) -> Result<(), FaultText>,
    ) -> Result<(), FaultText> {
        let refuse = |error| format!("`{key}` is not a list of objects: {}", wrong(&error));
        self.items(items, key, refuse, &mut |object: Option<Object<'a>>| {
            let Some(object) = object else {
                return Ok(());
            };
            items.record_repeated_key(&object);
            take(object)
        })
    }

    /// Passes each object of a list field to `take`, and skips all other items.
    pub(super) fn each_object(
        &self,
        items: &Items,
        key: &str,
        take: &mut dyn FnMut(Object<'a>),
    ) -> Result<(), FaultText> {
        let list = self.get(key).filter(|value| value.get().starts_with('['));
        if list.is_none() {
            return Ok(());
        }
        self.items(
            items,
            key,
            |error| wrong(&error),
            &mut |value: &'a RawValue| {
                if let Ok(object) = serde_json::from_str(value.get()) {
                    take(object);
                }
                Ok(())
            },
        )
    }

    /// A field that is a list of strings; empty if it is absent.
    pub(super) fn texts(&self, items: &Items, key: &str) -> Result<Vec<String>, FaultText> {
        let mut texts = Vec::new();
        let refuse = |_| format!("`{key}` is not a list of texts");
        self.items(items, key, refuse, &mut |text| {
            texts.push(text);
            Ok(())
        })?;
        Ok(texts)
    }

    /// Passes each item of a list to `take`, one at a time, so that unwanted items are not kept.
    fn items<T: Deserialize<'a>>(
        &self,
        items: &Items,
        key: &str,
        refuse: impl FnOnce(serde_json::Error) -> FaultText,
        take: &mut dyn FnMut(T) -> Result<(), FaultText>,
    ) -> Result<(), FaultText> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        let mut stopped = None;
        let list = List {
            items,
            take,
            stopped: &mut stopped,
        };
        let mut json = serde_json::Deserializer::from_str(value.get());
        let read = list.deserialize(&mut json);
        match (stopped, read) {
            (Some(wrong), _) => Err(wrong),
            (None, read) => read.map_err(refuse),
        }
    }

    /// An object field; `None` if it is absent or not an object.
    pub(super) fn object(&self, key: &str) -> Option<Object<'a>> {
        let value = self.get(key)?;
        serde_json::from_str(value.get()).ok()
    }
}

/// Maximum number of list items in one document. The largest real ones have some thousands.
pub(super) const MAX_ITEMS: usize = 200_000;

/// The number of items and the duplicate keys seen while one document is read.
pub(super) struct Items {
    /// Number of items that its lists may still have.
    left: Cell<usize>,
    /// The first duplicate key in one of its objects.
    repeated_key: RefCell<Option<String>>,
}

impl Items {
    /// A new counter for one document.
    pub(super) fn new() -> Self {
        Self {
            left: Cell::new(MAX_ITEMS),
            repeated_key: RefCell::new(None),
        }
    }

    fn count_item(&self) -> Result<(), FaultText> {
        let left = self.left.get().checked_sub(1);
        let left = left.ok_or_else(|| format!("its lists have more than {MAX_ITEMS} items"))?;
        self.left.set(left);
        Ok(())
    }

    /// Records a duplicate key of an object.
    pub(super) fn record_repeated_key(&self, object: &Object<'_>) {
        let mut noted = self.repeated_key.borrow_mut();
        if noted.is_none() {
            *noted = object.repeated_key().map(str::to_owned);
        }
    }

    /// The first duplicate key that was recorded.
    pub(super) fn repeated_key(self) -> Option<String> {
        self.repeated_key.into_inner()
    }
}

/// Reads a list item by item.
struct List<'l, T> {
    items: &'l Items,
    take: &'l mut dyn FnMut(T) -> Result<(), FaultText>,
    /// The reason why reading stopped before the end.
    stopped: &'l mut Option<FaultText>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            if let Err(wrong) = self.items.count_item().and_then(|()| (self.take)(item)) {
                *self.stopped = Some(wrong);
                return Err(A::Error::custom("it is not wanted"));
            }
        }
        Ok(())
    }
}

/// The parser's message on one line, shortened.
fn wrong(error: &serde_json::Error) -> FaultText {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    error.to_string().chars().take(200).map(printable).collect()
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &RawValue>()? {
                    if fields.len() >= MAX_FIELDS {
                        let limit = format_args!("an object has more than {MAX_FIELDS} fields");
                        return Err(A::Error::custom(limit));
                    }
                    fields.push((key, value));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Maximum number of fields in an object that is parsed.
const MAX_FIELDS: usize = 1000;

/// A key, borrowed from the input if it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects<'a>(object: &Object<'a>, key: &str) -> Result<Vec<Object<'a>>, FaultText> {
        let mut objects = Vec::new();
        object.each(&Items::new(), key, &mut |object| {
            objects.push(object);
            Ok(())
        })?;
        Ok(objects)
    }

    fn texts(object: &Object<'_>, key: &str) -> Result<Vec<String>, FaultText> {
        object.texts(&Items::new(), key)
    }

    #[test]
    fn lists_are_counted_together_and_read_no_further_than_they_may() {
        let json = format!(
            "{{\"a\":[{}],\"b\":[\"x\",\"y\",\"z\"]}}",
            "{},".repeat(MAX_ITEMS - 3) + "{}"
        );
        let object = Object::parse(&json).unwrap();
        let items = Items::new();
        let mut seen = 0;
        object
            .each(&items, "a", &mut |_| {
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, MAX_ITEMS - 2);
        let said = object.texts(&items, "b").unwrap_err();
        assert_eq!(said, "its lists have more than 200000 items");
        // The callback may stop the iteration.
        let mut seen = 0;
        let stop = &mut |_: Object<'_>| {
            seen += 1;
            Err("enough".to_owned())
        };
        assert_eq!(object.each(&Items::new(), "a", stop).unwrap_err(), "enough");
        assert_eq!(seen, 1);
    }

    #[test]
    fn keys_match_whatever_their_case() {
        let json = r#"{"Schema":"a","IMAGE":null,"relatedimages":[{"Image":"x"},null],"\u0053kips":["y"]}"#;
        let object = Object::parse(json).unwrap();
        assert_eq!(object.text("schema").unwrap().as_deref(), Some("a"));
        assert_eq!(object.text("image").unwrap(), None);
        let related = objects(&object, "relatedImages").unwrap();
        assert_eq!(related.len(), 1);
        assert_eq!(related[0].text("image").unwrap().as_deref(), Some("x"));
        assert_eq!(texts(&object, "skips").unwrap(), ["y"]);
        let folded = Object::parse("{\"\u{17f}\u{212a}ips\":[\"z\"]}").unwrap();
        assert_eq!(texts(&folded, "skips").unwrap(), ["z"]);
    }

    #[test]
    fn of_a_key_twice_the_last_counts_and_is_noted() {
        let json = r#"{"a":"x","A":"y","a":null,"l":[{"z":1},{"m":1,"M":2}]}"#;
        let object = Object::parse(json).unwrap();
        assert_eq!(object.text("a").unwrap().as_deref(), Some("y"));
        let items = Items::new();
        object.each(&items, "l", &mut |_| Ok(())).unwrap();
        assert_eq!(items.repeated_key().as_deref(), Some("m"));
        let once = Object::parse(r#"{"a":1,"b":1}"#).unwrap();
        assert_eq!(once.repeated_key(), None);
    }

    #[test]
    fn wrong_shapes_are_named() {
        let object = Object::parse(r#"{"a":1,"b":[1],"c":"x","d":{}}"#).unwrap();
        assert!(object.text("d").unwrap_err().contains("not a text"));
        assert!(
            texts(&object, "b")
                .unwrap_err()
                .contains("not a list of texts")
        );
        assert!(objects(&object, "c").is_err());
        assert!(object.object("c").is_none());
        assert!(object.object("d").is_some());
        assert!(Object::parse("[]").is_err());
        let many: Vec<String> = (0..1001).map(|n| format!("\"k{n}\":0")).collect();
        assert!(Object::parse(&format!("{{{}}}", many.join(","))).is_err());
    }
}
