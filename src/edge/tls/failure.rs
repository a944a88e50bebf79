use std::io;

use tokio_rustls::rustls::{AlertDescription, Error};

use crate::ports::telemetry::HandshakeFailure;

/// Why a handshake failed.
pub(super) fn cause(error: &io::Error) -> HandshakeFailure {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of_tls(error),
        // The connection's own error.
        None => HandshakeFailure::Closed,
    }
}

fn of_tls(error: &Error) -> HandshakeFailure {
    match error {
        Error::InvalidCertificate(_)
        | Error::NoCertificatesPresented
        | Error::InvalidCertRevocationList(_)
        | Error::UnsupportedNameType => HandshakeFailure::Certificate,
        // What the client thinks of our certificate.
        Error::AlertReceived(
            AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied,
        ) => HandshakeFailure::Certificate,
        Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
            HandshakeFailure::Closed
        }
        _ => HandshakeFailure::Protocol,
    }
}
