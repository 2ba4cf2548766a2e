//! A dtype's text of any bytes is refused, or has a layout that NumPy can keep.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinwire::wire::Layout;

fuzz_target!(|text: &[u8]| {
    if let Ok(layout) = Layout::parse(text) {
        assert!(layout.itemsize <= i32::MAX as u64, "NumPy keeps an item's size in a C int");
        assert!(layout.padding <= 64 * 1024, "NumPy writes a letter for each byte of padding");
        assert!(layout.padding <= layout.itemsize);
        assert!(layout.ndim <= 32, "a field is an array of all these dimensions");
        assert!(layout.empties <= layout.itemsize.max(64), "a few bytes are used for ever");
        assert_eq!(layout.fields.itemsize() as u64, layout.itemsize);
        assert!(layout.fields.is_whole() || layout.itemsize > 0);
        assert_eq!(Layout::parse(text), Ok(layout));
    }
});
