//! Known encodings, and every form that is not the canonical one.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use super::{DEPTH_MAX, Head, Item, Kind, check_nested, put_bytes, put_head, put_list, put_uint};
use crate::error::Fault;

fn bytes_of(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, value);
    out
}

#[test]
fn examples_of_the_specification() {
    assert_eq!(bytes_of(b"dog"), b"\x83dog");
    assert_eq!(bytes_of(b""), [0x80]);
    assert_eq!(bytes_of(&[0]), [0x00]);
    assert_eq!(bytes_of(&[0x0f]), [0x0f]);
    assert_eq!(bytes_of(&[0x80]), [0x81, 0x80]);
    let text = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit";
    assert_eq!(bytes_of(text)[..2], [0xb8, 0x38]);
    let mut out = Vec::new();
    put_list(&mut out, |out| {
        put_bytes(out, b"cat");
        put_bytes(out, b"dog");
    });
    assert_eq!(out, b"\xc8\x83cat\x83dog");
    let mut out = Vec::new();
    put_uint(&mut out, 1024);
    put_uint(&mut out, 0);
    assert_eq!(out, [0x82, 0x04, 0x00, 0x80]);
}

#[test]
fn lengths_around_every_change_of_form() {
    for length in [
        0, 1, 2, 54, 55, 56, 57, 255, 256, 257, 65_535, 65_536, 70_000,
    ] {
        let value = vec![0xee; length];
        let encoded = bytes_of(&value);
        let item = Item::whole(&encoded, "value").unwrap();
        assert_eq!((item.kind(), item.payload()), (Kind::Bytes, &value[..]));
        let mut list = Vec::new();
        put_list(&mut list, |out| out.resize(length, 0x01));
        let mut items = Item::whole(&list, "list").unwrap().list("list").unwrap();
        let mut count = 0;
        while let Some(item) = items.next_item("number").unwrap() {
            assert_eq!(item.uint("number").unwrap(), 1);
            count += 1;
        }
        assert_eq!(count, length);
        items.end("list").unwrap();
        for cut in [0, 1, encoded.len() / 2, encoded.len() - 1] {
            if cut < encoded.len() {
                let fault = Item::whole(&encoded[..cut], "value").unwrap_err();
                assert!(
                    matches!(fault, Fault::Overrun { .. }),
                    "{length} cut at {cut}: {fault}"
                );
            }
        }
    }
}

#[test]
fn other_forms_are_refused() {
    let forms: [&[u8]; 9] = [
        &[0x81, 0x00],
        &[0x81, 0x7f],
        &[0xb8, 0x00],
        &[0xb8, 0x37],
        &[0xb9, 0x00, 0x38],
        &[0xf8, 0x00],
        &[0xf8, 0x37],
        &[0xf9, 0x00, 0xff],
        &[0xff, 0, 0, 0, 0, 0, 0, 1, 0],
    ];
    for form in forms {
        let mut padded = form.to_vec();
        padded.resize(300, 0xaa);
        let fault = Item::split(&padded, "item").unwrap_err();
        assert!(
            matches!(fault, Fault::NotCanonical { .. }),
            "{form:02x?}: {fault}"
        );
    }
    assert!(matches!(
        Item::whole(&[0x80, 0x80], "item"),
        Err(Fault::Trailing { .. })
    ));
    for length in [u64::MAX, 1 << 63, 1 << 32, 57] {
        let mut head = vec![0xff];
        head.extend_from_slice(&length.to_be_bytes());
        let kept = Head::decode(&head, "item");
        // A length with leading zeros is another form; any other is only too long.
        assert_eq!(kept.is_ok(), length >> 56 != 0, "{length}");
        assert!(Item::split(&head, "item").is_err(), "{length}");
    }
}

#[test]
fn integers_and_arrays() {
    let uint = |bytes: &[u8]| Item::whole(bytes, "n").unwrap().uint("n");
    assert_eq!(uint(&[0x80]).unwrap(), 0);
    assert_eq!(uint(&[0x7f]).unwrap(), 127);
    assert_eq!(
        uint(&[0x88, 255, 255, 255, 255, 255, 255, 255, 255]).unwrap(),
        u64::MAX
    );
    assert!(matches!(uint(&[0x00]), Err(Fault::NotCanonical { .. })));
    assert!(matches!(
        uint(&[0x82, 0, 1]),
        Err(Fault::NotCanonical { .. })
    ));
    assert!(matches!(
        uint(&[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(Fault::OverLimit { .. })
    ));
    assert!(matches!(uint(&[0xc0]), Err(Fault::Kind { .. })));
    let item = Item::whole(&[0x83, 1, 2, 3], "a").unwrap();
    assert_eq!(item.array::<3>("a").unwrap(), [1, 2, 3]);
    assert!(matches!(item.array::<4>("a"), Err(Fault::Length { .. })));
    assert!(matches!(item.list("a"), Err(Fault::Kind { .. })));
}

#[test]
fn nesting_is_walked_to_the_last_item() {
    // Broken at the very end of the innermost list.
    let mut encoded = vec![0x81, 0x01];
    for depth in 1..=DEPTH_MAX + 2 {
        let mut outer = Vec::new();
        put_head(&mut outer, Kind::List, encoded.len());
        outer.extend_from_slice(&encoded);
        encoded = outer;
        let fault = check_nested(Item::whole(&encoded, "list").unwrap()).unwrap_err();
        let deep = matches!(fault, Fault::TooDeep { limit: DEPTH_MAX });
        assert_eq!(deep, depth > DEPTH_MAX, "{depth}: {fault}");
    }
}
