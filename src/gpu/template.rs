//! What WGSL has no words for: constants from outside, and lines that are repeated.

use std::fmt::Write as _;

/// The source behind its constants, with the lines between `#for NAME in 0..END` and `#end` written once for each number,
/// which stands for `$NAME` in them. END is a number or one of the constants.
pub(super) fn expand(source: &str, numbers: &[(&str, usize)], flags: &[(&str, bool)]) -> String {
    let mut expanded = String::new();
    for (name, value) in numbers {
        let _ = writeln!(expanded, "const {name}: i32 = {value};");
    }
    for (name, value) in flags {
        let _ = writeln!(expanded, "const {name}: bool = {value};");
    }
    let lines: Vec<_> = source.lines().map(str::to_owned).collect();
    repeat(&lines, numbers, &mut expanded);
    expanded
}

fn repeat(lines: &[String], numbers: &[(&str, usize)], expanded: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let Some(head) = lines[at].strip_prefix("#for ") else {
            expanded.push_str(&lines[at]);
            expanded.push('\n');
            at += 1;
            continue;
        };
        // The end that belongs to it.
        let mut depth = 1;
        let inside = lines[at + 1..].iter().take_while(|line| {
            depth += usize::from(line.starts_with("#for "));
            depth -= usize::from(line.as_str() == "#end");
            depth > 0
        });
        let inside: Vec<_> = inside.cloned().collect();
        let (name, end) = head.split_once(" in 0..").unwrap_or((head, "0"));
        let known = numbers.iter().find(|(number, _)| *number == end);
        let end = known.map_or_else(|| end.parse().unwrap_or(0), |(_, value)| *value);
        for number in 0..end {
            let own: Vec<_> = inside
                .iter()
                .map(|line| line.replace(&format!("${name}"), &number.to_string()))
                .collect();
            repeat(&own, numbers, expanded);
        }
        at += inside.len() + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_repeated_for_each_number() {
        let source = "a\n#for i in 0..N\nb$i\n#for k in 0..2\nc$i_$k\n#end\n#end\nd";
        let expanded = expand(source, &[("N", 2)], &[("YES", true)]);
        let expected =
            "const N: i32 = 2;\nconst YES: bool = true;\na\nb0\nc0_0\nc0_1\nb1\nc1_0\nc1_1\nd\n";
        assert_eq!(expanded, expected);
        assert!(!expand("#for i in 0..N\nx\n#end", &[("N", 0)], &[]).contains('x'));
    }
}
