//! Properties that several fuzz targets check.

use std::fmt::{Debug, Display};
use std::str::FromStr;

/// What parses is shown in a form that parses to the same value, and that is its own form.
pub fn text_identity<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Debug + Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            let again: T = shown.parse().expect("what was shown parses");
            assert_eq!(again, value);
            assert_eq!(again.to_string(), shown);
        }
        // A refusal is a sentence for a terminal: hostile input may not steer it.
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}
