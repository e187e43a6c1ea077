//! Figures in words: rates, times and factors with three digits and a unit.

/// How the figures of a row are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As operations in a second; the figure is the seconds of one.
    Rate,
    /// As a time; the figure is seconds.
    Time,
    /// As bytes on disk for a byte of payload.
    Factor,
    /// As bytes.
    Bytes,
}

/// Bytes of a gibibyte.
const GIB: f64 = (1u64 << 30) as f64;

/// A number with three digits.
fn digits(number: f64) -> String {
    let places = match number.abs() {
        n if n >= 99.95 => 0,
        n if n >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.places$}")
}

fn scaled(number: f64, units: &[(f64, &str)]) -> String {
    // The rounded number decides, so that 999.7 of a unit is 1.00 of the next.
    let fits = |size: f64| number.abs() >= size * 0.9995;
    let unit = units.iter().find(|(size, _)| fits(*size));
    let Some((size, name)) = unit.or_else(|| units.last()) else {
        return digits(number);
    };
    format!("{} {name}", digits(number / size))
}

/// A time in seconds as `1.23 us`.
#[must_use]
pub fn time(seconds: f64) -> String {
    scaled(
        seconds,
        &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
    )
}

/// A cost in the unit of its row.
#[must_use]
pub fn cost(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Rate => scaled(1.0 / figure, &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")]),
        Unit::Time => time(figure),
        Unit::Factor => digits(figure),
        Unit::Bytes => scaled(
            figure,
            &[(GIB, "GiB"), (GIB / 1024.0, "MiB"), (1024.0, "KiB")],
        ),
    }
}

/// A multiple as `1.23x`.
#[must_use]
pub fn factor(multiple: f64) -> String {
    format!("{}x", digits(multiple))
}

/// A part of one as `12 %`.
#[must_use]
pub fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// Columns of wrapped text.
const COLUMNS: usize = 100;

/// The words of a text in lines of at most 100 columns, the first behind `first`, the others behind
/// `rest`.
#[must_use]
pub fn wrap(text: &str, first: &str, rest: &str) -> String {
    let mut lines = vec![first.to_owned()];
    let mut is_begun = false;
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, String::len);
        if is_begun && used + 1 + word.len() > COLUMNS {
            lines.push(rest.to_owned());
            is_begun = false;
        }
        if let Some(line) = lines.last_mut() {
            if is_begun {
                line.push(' ');
            }
            line.push_str(word);
            is_begun = true;
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(cost(1e-6, Unit::Rate), "1.00 M/s");
        assert_eq!(cost(1.0 / 637_400.0, Unit::Rate), "637 k/s");
        assert_eq!(cost(1.0 / 999_700.0, Unit::Rate), "1.00 M/s");
        assert_eq!(cost(1.0 / 884.0, Unit::Rate), "884 /s");
        assert_eq!(cost(4.0, Unit::Rate), "0.25 /s");
        assert_eq!(cost(0.0253, Unit::Time), "25.3 ms");
        assert_eq!(cost(1.684, Unit::Factor), "1.68");
        assert_eq!(cost(433.0 * 1_048_576.0, Unit::Bytes), "433 MiB");
        assert_eq!(time(49e-9), "49.0 ns");
        assert_eq!(time(99.96e-9), "100 ns");
        assert_eq!(time(1.5), "1.50 s");
        assert_eq!(time(0.0), "0.00 ns");
        assert_eq!(
            (factor(12.34), percent(0.077)),
            ("12.3x".into(), "8 %".into())
        );
    }

    #[test]
    fn text_is_wrapped_between_words() {
        let text = "word ".repeat(40);
        let wrapped = wrap(&text, "- ", "  ");
        let lines: Vec<&str> = wrapped.lines().collect();
        let lengths: Vec<usize> = lines.iter().map(|line| line.len()).collect();
        assert_eq!(lengths, [96, 96, 11]);
        assert!(lines[0].starts_with("- word") && lines[2] == "  word word");
        let long = "x".repeat(200);
        assert_eq!(wrap(&long, "- ", "  "), format!("- {long}"));
        assert_eq!(wrap("", "- ", "  "), "- ");
    }
}
