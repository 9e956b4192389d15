//! Kubernetes quantities, as far as requests of CPU and memory need them.

/// CPU in thousandths of a core: `250m`, `2`, `0.5`. `None`: not a quantity.
pub fn millicores(text: &str) -> Option<u64> {
    scaled(text, 1_000)
}

/// Memory in bytes: `128Mi`, `1G`, `1e9`. `None`: not a quantity.
pub fn bytes(text: &str) -> Option<u64> {
    scaled(text, 1)
}

/// `text` in units of 1/`unit`, rounded up.
fn scaled(text: &str, unit: u64) -> Option<u64> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (factor, divisor) = factor(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || whole.len() > 18 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let places = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let value = digits.checked_mul(factor)?.checked_mul(u128::from(unit))?;
    u64::try_from(value.div_ceil(places.checked_mul(divisor)?)).ok()
}

/// What a suffix multiplies and divides by.
fn factor(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (10_u128.checked_pow(exponent.min(18))?, 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("250m", Some(250)),
            ("2", Some(2_000)),
            ("0.5", Some(500)),
            ("1.0005", Some(1_001)),
            ("100u", Some(1)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("-1", None),
        ] {
            assert_eq!(millicores(text), expected, "{text}");
        }
        for (text, expected) in [
            ("128Mi", Some(134_217_728)),
            ("1G", Some(1_000_000_000)),
            ("1e9", Some(1_000_000_000)),
            ("1.5Gi", Some(1_610_612_736)),
            ("16393244Ki", Some(16_786_681_856)),
            ("99999999999999999999", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
