//! Errors of looking up credentials.

/// An error of looking up credentials. None of them quotes an auth file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file is not JSON of the expected shape.
    #[error("Auth file `{file}` is not valid at line {line}, column {column}")]
    Syntax {
        /// The file's name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A field has a value other than the expected object.
    #[error("Auth file `{file}`: `{key}` must be a JSON object")]
    NoObject {
        /// The file's name.
        file: String,
        /// The key of the field.
        key: String,
    },
    /// An entry is not base64 of `user:password`.
    #[error("Auth file `{file}`: the entry for `{key}` is not base64 of `user:password`")]
    Entry {
        /// The file's name.
        file: String,
        /// The entry's key.
        key: String,
    },
    /// A value of `credHelpers` is not a text.
    #[error("Auth file `{file}`: the `credHelpers` value for `{key}` is not the name of a helper")]
    HelperValue {
        /// The file's name.
        file: String,
        /// The value's key.
        key: String,
    },
    /// A helper's name has characters that are not allowed in it.
    #[error(
        "`{name}` is not the name of a credential helper (letters, digits, `-`, `_` and `.` only)"
    )]
    HelperName {
        /// The name, as the file has it.
        name: String,
    },
    /// A helper cannot be started, or its pipes fail.
    #[error("Credential helper `{program}` cannot be run")]
    HelperStart {
        /// The program.
        program: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A helper ended with an error.
    #[error("Credential helper `{program}` failed: {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// Its output, made fit for one line.
        message: String,
    },
    /// A helper gave no answer in time.
    #[error("Credential helper `{program}` gave no answer within {seconds} seconds")]
    HelperTimedOut {
        /// The program.
        program: String,
        /// The timeout in seconds.
        seconds: u64,
    },
    /// A helper's answer does not follow the protocol.
    #[error(
        "Credential helper `{program}` printed something other than JSON with `Username` and `Secret`"
    )]
    HelperAnswer {
        /// The program.
        program: String,
    },
}

impl CredentialsError {
    /// True if an entry in an auth file cannot be used, whenever it is tried.
    pub(super) fn is_of_one_entry(&self) -> bool {
        matches!(
            self,
            Self::Entry { .. } | Self::HelperValue { .. } | Self::HelperName { .. }
        )
    }
}
