//! Parses certificates: finds them in PEM files, and reads the fields that messages need (RFC
//! 5280).
//!
//! The TLS library checks signatures and chains. It gives no access to dates, issuers and versions,
//! which messages need and which `tls` checks for a certificate that is trusted as it is. It also
//! accepts any certificate as a CA, so the fitness of CAs is checked here.

use base64::Engine as _;
use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use rustls::pki_types::CertificateDer;

use crate::registry::redact::one_line;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Object identifiers of extensions, as their DER contents.
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 19];
const NAME_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 30];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 37];

/// Extensions below 2.5.29 that Go's clients understand: key identifiers, key usage, names,
/// constraints, CRL distribution points, policies, extended key usage.
const KNOWN_EXTENSIONS: [u8; 9] = [14, 15, 17, 19, 30, 31, 32, 35, 37];

/// The bit keyCertSign in the first byte of a key usage.
const KEY_CERT_SIGN: u8 = 0x04;

/// The purposes serverAuth and anyExtendedKeyUsage.
const SERVER_AUTH: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 1];
const ANY_USAGE: [u8; 4] = [0x55, 0x1d, 0x25, 0];

/// Maximum names of one certificate that are kept.
const MOST_NAMES: usize = 8;

/// Returns the certificates in a file, as Go's clients find them: all PEM blocks of that type,
/// regardless of the text between them; a block that is not base64 or has headers is skipped. A
/// file that is one certificate in DER counts too.
pub(super) fn certificates_in(file: &[u8]) -> Vec<CertificateDer<'static>> {
    let text = String::from_utf8_lossy(file);
    let mut found = Vec::new();
    let mut rest: &str = &text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let Some((body, behind)) = after.split_once(END) else {
            break;
        };
        // A block without an end marker must not hide the next one.
        let body = body.rsplit(BEGIN).next().unwrap_or(body);
        let base64: String = body.split_ascii_whitespace().collect();
        let decoded = base64::engine::general_purpose::STANDARD.decode(base64);
        found.extend(decoded.map(CertificateDer::from));
        rest = behind;
    }
    if found.is_empty() && Facts::read(file).is_some() {
        found.push(CertificateDer::from(file.to_vec()));
    }
    found
}

/// The contents of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The version of X.509: 1 to 3.
    pub(super) version: u8,
    /// The issuer, as text.
    pub(super) issuer: String,
    /// The issuer's name as DER.
    pub(super) issuer_der: Vec<u8>,
    /// The subject's name as DER.
    pub(super) subject_der: Vec<u8>,
    pub(super) is_self_issued: bool,
    /// Start of validity in seconds since 1970; `not_after`: its end.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// Hosts and addresses in its subjectAltName, as text.
    pub(super) names: Vec<String>,
    /// True if its extended key usage allows servers, or it has none.
    pub(super) is_for_servers: bool,
    /// CA:TRUE or CA:FALSE of its basic constraints; `None` without them.
    is_authority: Option<bool>,
    /// True if its key usage allows its key to sign certificates, or it has none.
    may_sign_certificates: bool,
    /// True if it has a critical extension that is not known here.
    has_unknown_critical: bool,
    /// True if it limits the names in certificates below it.
    pub(super) has_name_constraints: bool,
    /// Maximum number of intermediate CAs between it and a server's certificate, if it sets one.
    pub(super) path_length: Option<usize>,
}

impl Facts {
    /// Returns the reason why the certificate must not sign others at a time (seconds since
    /// 1970), as a predicate; `None` if it may. The rules are those of Go's clients: an old
    /// certificate (version 1 or 2) cannot be marked as a CA, and counts as one.
    pub(super) fn unfit_to_sign(&self, now: u64) -> Option<String> {
        let is_authority = self.is_authority.unwrap_or(self.version < 3);
        Some(match self {
            _ if !is_authority => "is not an authority's (CA:TRUE is missing in it)".to_owned(),
            _ if now < self.not_before => format!("is not valid before {}", day(self.not_before)),
            _ if now > self.not_after => format!("expired on {}", day(self.not_after)),
            facts if !facts.may_sign_certificates => {
                "may not sign certificates (keyCertSign is missing in its key usage)".to_owned()
            }
            facts if !facts.is_for_servers => {
                "may not sign certificates of servers (extended key usage)".to_owned()
            }
            facts if facts.has_unknown_critical => {
                "has a critical extension that is not known here".to_owned()
            }
            _ => return None,
        })
    }

    /// True if it is marked as a CA (CA:TRUE).
    pub(super) fn is_marked_ca(&self) -> bool {
        self.is_authority == Some(true)
    }

    /// Parses a certificate in DER; `None` if it is not one.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let certificate = AnyRef::from_der(der).ok()?;
        let signed: AnyRef<'_> = inside(certificate)?.decode().ok()?;
        let mut fields = inside(signed)?;
        let mut version = 1;
        let first = Tag::peek(&fields).ok()?;
        if first.is_context_specific() {
            let number: AnyRef<'_> = fields.decode().ok()?;
            version = number.value().last()?.checked_add(1)?;
        }
        let _serial = any(&mut fields)?;
        let _algorithm = any(&mut fields)?;
        let issuer = fields.tlv_bytes().ok()?;
        let mut validity = inside(any(&mut fields)?)?;
        let not_before = seconds(any(&mut validity)?)?;
        let not_after = seconds(any(&mut validity)?)?;
        let subject = fields.tlv_bytes().ok()?;
        let mut facts = Self {
            version,
            issuer: distinguished_name(issuer).unwrap_or_default(),
            issuer_der: issuer.to_vec(),
            subject_der: subject.to_vec(),
            is_self_issued: issuer == subject,
            not_before,
            not_after,
            names: Vec::new(),
            is_for_servers: true,
            is_authority: None,
            may_sign_certificates: true,
            has_unknown_critical: false,
            has_name_constraints: false,
            path_length: None,
        };
        let _key = any(&mut fields)?;
        while !fields.is_finished() {
            let field = any(&mut fields)?;
            // The context tag [3] holds the extensions.
            if field.tag().is_context_specific() && field.tag().is_constructed() {
                facts.read_extensions(field)?;
            }
        }
        Some(facts)
    }

    fn read_extensions(&mut self, field: AnyRef<'_>) -> Option<()> {
        let mut list = inside(any(&mut inside(field)?)?)?;
        while !list.is_finished() {
            let mut extension = inside(any(&mut list)?)?;
            let id = any(&mut extension)?.value();
            let mut value = any(&mut extension)?;
            let mut is_critical = false;
            if value.tag() == Tag::Boolean {
                is_critical = value.value() != [0];
                value = any(&mut extension)?;
            }
            if id == SUBJECT_ALT_NAME {
                self.names = alternative_names(value.value())?;
            } else if id == EXTENDED_KEY_USAGE {
                self.is_for_servers = is_for_servers(value.value())?;
            } else if id == BASIC_CONSTRAINTS {
                self.read_basic_constraints(value.value())?;
            } else if id == KEY_USAGE {
                self.may_sign_certificates = may_sign_certificates(value.value())?;
            }
            self.has_name_constraints |= id == NAME_CONSTRAINTS;
            let is_known = |&last: &u8| id == [0x55, 0x1d, last];
            self.has_unknown_critical |= is_critical && !KNOWN_EXTENSIONS.iter().any(is_known);
        }
        Some(())
    }

    fn read_basic_constraints(&mut self, der: &[u8]) -> Option<()> {
        let mut fields = inside(AnyRef::from_der(der).ok()?)?;
        self.is_authority = Some(false);
        while !fields.is_finished() {
            let field = any(&mut fields)?;
            match field.tag() {
                Tag::Boolean => self.is_authority = Some(field.value() != [0]),
                Tag::Integer => self.path_length = Some(field.decode_as::<u32>().ok()? as usize),
                _ => return None,
            }
        }
        Some(())
    }
}

/// The signed part of a certificate and its signature (RFC 5280, section 4.1).
pub(super) struct Signed<'a> {
    /// The part that is signed, as DER.
    pub(super) content: &'a [u8],
    /// The contents of the AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Parses a certificate in DER; `None` if it is not one.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut parts = inside(AnyRef::from_der(der).ok()?)?;
        let content = parts.tlv_bytes().ok()?;
        let algorithm = any(&mut parts)?.value();
        let signature = any(&mut parts)?;
        // A BIT STRING begins with the number of unused bits in its last byte.
        let (Tag::BitString, [0, signature @ ..]) = (signature.tag(), signature.value()) else {
            return None;
        };
        Some(Self {
            content,
            algorithm,
            signature,
        })
    }
}

/// Returns a reader over the contents of a constructed value.
fn inside(value: AnyRef<'_>) -> Option<SliceReader<'_>> {
    SliceReader::new(value.value()).ok()
}

fn any<'a>(reader: &mut SliceReader<'a>) -> Option<AnyRef<'a>> {
    reader.decode().ok()
}

fn seconds(time: AnyRef<'_>) -> Option<u64> {
    let since_1970 = match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>().ok()?.to_unix_duration(),
        _ => time.decode_as::<GeneralizedTime>().ok()?.to_unix_duration(),
    };
    Some(since_1970.as_secs())
}

/// Returns the hosts and addresses of a subjectAltName.
fn alternative_names(der: &[u8]) -> Option<Vec<String>> {
    let mut list = inside(AnyRef::from_der(der).ok()?)?;
    let mut names = Vec::new();
    while !list.is_finished() && names.len() < MOST_NAMES {
        let name = any(&mut list)?;
        let value = name.value();
        match name.tag().number().value() {
            2 => names.push(one_line(&String::from_utf8_lossy(value), 100)),
            7 => names.extend(address(value)),
            _ => {}
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(v6).to_string())
}

fn is_for_servers(der: &[u8]) -> Option<bool> {
    let mut list = inside(AnyRef::from_der(der).ok()?)?;
    while !list.is_finished() {
        let usage = any(&mut list)?.value();
        if usage == SERVER_AUTH || usage == ANY_USAGE {
            return Some(true);
        }
    }
    Some(false)
}

fn may_sign_certificates(der: &[u8]) -> Option<bool> {
    let bits = AnyRef::from_der(der).ok()?;
    // The first byte is the number of unused bits at the end.
    let first = bits.value().get(1).copied().unwrap_or(0);
    Some(first & KEY_CERT_SIGN != 0)
}

/// Formats a time in seconds since 1970 for messages.
pub(super) fn day(seconds: u64) -> String {
    let second = i64::try_from(seconds).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(second) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("second {seconds} after 1970"),
    }
}

/// Formats a name in DER as `CN=..., O=...`.
fn distinguished_name(der: &[u8]) -> Option<String> {
    let mut sets = inside(AnyRef::from_der(der).ok()?)?;
    let mut parts = Vec::new();
    while !sets.is_finished() {
        let mut set = inside(any(&mut sets)?)?;
        while !set.is_finished() {
            let mut attribute = inside(any(&mut set)?)?;
            let label = match any(&mut attribute)?.value() {
                [0x55, 4, 3] => "CN",
                [0x55, 4, 6] => "C",
                [0x55, 4, 10] => "O",
                [0x55, 4, 11] => "OU",
                _ => continue,
            };
            let value = String::from_utf8_lossy(any(&mut attribute)?.value()).into_owned();
            parts.push(format!("{label}={value}"));
        }
    }
    Some(one_line(&parts.join(", "), 120))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };

    use super::*;

    fn params() -> CertificateParams {
        let names = ["r.lan".to_owned(), "10.1.2.3".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "r\u{1b}");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Site");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2001, 2, 3);
        params.not_after = rcgen::date_time_ymd(2150, 1, 1);
        params
    }

    fn made(params: CertificateParams) -> rcgen::Certificate {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn facts_are_those_of_the_certificate() {
        let facts = Facts::read(made(params()).der()).unwrap();
        assert_eq!(facts.version, 3);
        assert!(facts.is_self_issued && facts.is_for_servers);
        assert_eq!(facts.names, ["r.lan", "10.1.2.3"]);
        assert!(facts.issuer.contains("CN=r?"), "{}", facts.issuer);
        assert!(facts.issuer.contains("O=Site"), "{}", facts.issuer);
        assert_eq!(facts.not_before, 981_158_400);
        assert_eq!(facts.not_after, 5_680_281_600);
        assert_eq!(facts.unfit_to_sign(facts.not_before), None);
        // A version 1 certificate cannot be marked as a CA.
        let mut plain = params();
        plain.is_ca = IsCa::NoCa;
        let mut plain = Facts::read(made(plain).der()).unwrap();
        assert!(plain.unfit_to_sign(plain.not_before).is_some());
        plain.version = 1;
        assert_eq!(plain.unfit_to_sign(plain.not_before), None);
        let mut client = params();
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        assert!(!Facts::read(made(client).der()).unwrap().is_for_servers);
        assert_eq!(Facts::read(b"0\x03abc"), None);
        assert_eq!(Facts::read(b""), None);
    }

    #[test]
    fn certificates_are_found_among_other_text() {
        let (one, two) = (made(params()), made(params()));
        let (pem, other) = (one.pem().replace('\n', "\r\n"), two.pem());
        let broken = format!("{BEGIN}\nnot base64!\n{END}\n");
        let headers = format!("{BEGIN}\nProc-Type: 4\n\nMIIB\n{END}\n");
        let text = format!("subject=r.lan\n  {BEGIN}\n{pem}\n{broken}{headers}# then\n{other}rest");
        assert_eq!(
            certificates_in(text.as_bytes()),
            [one.der().clone(), two.der().clone()]
        );
        assert_eq!(certificates_in(one.der()), [one.der().clone()]);
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        for nothing in ["", "text", key, BEGIN] {
            assert!(certificates_in(nothing.as_bytes()).is_empty(), "{nothing}");
        }
    }
}
