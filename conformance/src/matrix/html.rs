//! The matrix as one HTML file: no script, no font, no image from anywhere.
//!
//! Invariant: every text from a store or a case is escaped.

use std::fmt::Write as _;

use super::Matrix;
use super::page::{Field, Section, TITLE, sections};

/// The look: readable in light and dark, the head of a table stays in sight.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem}\
table{border-collapse:collapse;margin:.7rem 0}\
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem;border-bottom:1px solid #8884}\
th{position:sticky;top:0;background:Canvas}\
code{font-size:.92em}\
.pass{color:#1a7f37}.unsupported,.skipped,.none{color:#777}\
.fail{color:#fff;background:#c62828;font-weight:bold}";

impl Matrix {
    /// The matrix as a self-contained HTML page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <title>{TITLE}</title>\n<style>{STYLE}</style>\n<h1>{TITLE}</h1>\n<ul>\n"
        );
        for (name, value) in &self.setting {
            let _ = writeln!(text, "<li>{}: {}", escaped(name), escaped(value));
        }
        text.push_str("</ul>\n");
        for section in sections(self) {
            write(&mut text, &section);
        }
        text.push_str("</html>\n");
        text
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
    }
    out
}

/// Words with their names in backquotes as code.
fn words(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escaped(part));
        } else {
            out.push_str(&escaped(part));
        }
    }
    out
}

fn class(word: &str) -> &'static str {
    match word {
        "pass" => "pass",
        "unsupported" => "unsupported",
        "skipped" => "skipped",
        "FAIL" => "fail",
        _ => "none",
    }
}

fn field(field: &Field, section: &Section) -> String {
    match field {
        Field::Name(name) => format!("<td><code>{}</code>", escaped(name)),
        Field::Words(words) => format!("<td>{}", escaped(words)),
        Field::Verdict(word, number) => {
            let why = number.and_then(|number| section.reasons.get(number - 1));
            let title = why.map_or(String::new(), |why| format!(" title=\"{}\"", escaped(why)));
            let number = number.map_or(String::new(), |number| format!(" ({number})"));
            format!("<td class=\"{}\"{title}>{word}{number}", class(word))
        }
    }
}

// Writing to a string cannot fail.
fn write(text: &mut String, section: &Section) {
    let title = escaped(&section.title);
    let _ = writeln!(text, "<h2 id=\"{title}\">{title}</h2>");
    for paragraph in &section.words {
        let _ = writeln!(text, "<p>{}</p>", words(paragraph));
    }
    text.push_str("<table>\n<tr>");
    for head in &section.head {
        let _ = write!(text, "<th>{}", escaped(head));
    }
    text.push('\n');
    for row in &section.rows {
        text.push_str("<tr>");
        for cell in row {
            text.push_str(&field(cell, section));
        }
        text.push('\n');
    }
    text.push_str("</table>\n");
    if !section.reasons.is_empty() {
        text.push_str("<ol>\n");
        for reason in &section.reasons {
            let _ = writeln!(text, "<li>{}", escaped(reason));
        }
        text.push_str("</ol>\n");
    }
}
