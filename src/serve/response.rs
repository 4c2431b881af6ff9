//! Answers: bodies, errors in the spec's format, and headers that many answers share.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

use crate::sys::registry_store::StoreError;

/// An answer's body, streamed.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Error codes (OCI distribution-spec, "Error Codes"), with some additional cases for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    DiskFull,
    Internal,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    NotFound,
    PageInvalid,
    RangeInvalid,
    SizeInvalid,
    TooLarge,
    Unauthorized,
    Unsupported,
    UnsupportedMediaType,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid | Self::RangeInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::Internal | Self::DiskFull => "UNKNOWN",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid | Self::UnsupportedMediaType => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::NotFound => "UNSUPPORTED",
            Self::PageInvalid => "PAGINATION_NUMBER_INVALID",
            Self::SizeInvalid | Self::TooLarge | Self::ManifestTooLarge => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unsupported => "UNSUPPORTED",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::PageInvalid
            | Self::SizeInvalid => StatusCode::BAD_REQUEST,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ManifestTooLarge | Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

/// The error for a refused or failed request.
#[derive(Debug)]
pub(super) struct ApiError {
    code: Code,
    message: String,
    detail: serde_json::Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The internal cause, for the log; it is not sent to the client.
    pub(super) cause: Option<String>,
}

impl ApiError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: serde_json::Value::Null,
            headers: Vec::new(),
            cause: None,
        }
    }

    pub(super) fn upload_unknown() -> Self {
        Self::new(Code::BlobUploadUnknown, "The upload session does not exist")
    }

    /// Makes the error for an internal failure; the client is not told the cause.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        let mut error = Self::new(Code::Internal, "Internal error: see the registry's log");
        error.cause = Some(cause.into());
        error
    }

    #[must_use]
    pub(super) fn detail(mut self, detail: impl Into<serde_json::Value>) -> Self {
        self.detail = detail.into();
        self
    }

    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let document = serde_json::json!({"errors": [{
            "code": self.code.text(),
            "message": self.message,
            "detail": self.detail,
        }]});
        let mut response = json(self.code.status(), document.to_string().into_bytes());
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UploadUnknown => Self::upload_unknown(),
            StoreError::UploadTakenOver => Self::new(Code::BlobUploadInvalid, error.to_string()),
            StoreError::DigestMismatch { .. } => Self::new(Code::DigestInvalid, error.to_string()),
            other => {
                let mut text = other.to_string();
                let mut cause = std::error::Error::source(&other);
                while let Some(source) = cause {
                    text.push_str(&format!(": {source}"));
                    cause = source.source();
                }
                match other {
                    StoreError::Io { source, .. } if disk_full(&source) => {
                        let mut error = Self::new(Code::DiskFull, "The registry's disk is full");
                        error.cause = Some(text);
                        error
                    }
                    _ => Self::internal(text),
                }
            }
        }
    }
}

fn disk_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Makes an answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    with_body(
        status,
        Empty::new().map_err(|never| match never {}).boxed_unsync(),
    )
}

/// Makes an answer with a body that is in memory.
pub(super) fn full(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    with_body(status, body.boxed_unsync())
}

/// Makes an answer with a JSON document.
pub(super) fn json(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    let mut response = full(status, bytes);
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// Makes an answer with any body.
pub(super) fn with_body(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Sets a header of an answer. Values are made from parsed names and numbers, so they are always
/// valid.
pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        response.headers_mut().insert(name, value);
    }
}

/// `Docker-Content-Digest`
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Upload-UUID`
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// `Docker-Distribution-API-Version`
pub(super) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// `OCI-Subject`
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// `OCI-Filters-Applied`
pub(super) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
