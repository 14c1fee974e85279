// SPDX-License-Identifier: Apache-2.0

package dwarf

// form is how an attribute is encoded (DWARF 5, 7.5.6; the GNU ones from binutils' include/dwarf2.def).
type form uint16

const (
	formAddr          form = 0x01
	formBlock2        form = 0x03
	formBlock4        form = 0x04
	formData2         form = 0x05
	formData4         form = 0x06
	formData8         form = 0x07
	formString        form = 0x08
	formBlock         form = 0x09
	formBlock1        form = 0x0a
	formData1         form = 0x0b
	formFlag          form = 0x0c
	formSdata         form = 0x0d
	formStrp          form = 0x0e
	formUdata         form = 0x0f
	formRefAddr       form = 0x10
	formRef1          form = 0x11
	formRef2          form = 0x12
	formRef4          form = 0x13
	formRef8          form = 0x14
	formRefUdata      form = 0x15
	formIndirect      form = 0x16
	formSecOffset     form = 0x17
	formExprloc       form = 0x18
	formFlagPresent   form = 0x19
	formStrx          form = 0x1a
	formAddrx         form = 0x1b
	formRefSup4       form = 0x1c
	formStrpSup       form = 0x1d
	formData16        form = 0x1e
	formLineStrp      form = 0x1f
	formRefSig8       form = 0x20
	formImplicitConst form = 0x21
	formLoclistx      form = 0x22
	formRnglistx      form = 0x23
	formRefSup8       form = 0x24
	formStrx1         form = 0x25
	formStrx2         form = 0x26
	formStrx3         form = 0x27
	formStrx4         form = 0x28
	formAddrx1        form = 0x29
	formAddrx2        form = 0x2a
	formAddrx3        form = 0x2b
	formAddrx4        form = 0x2c
	formGNUAddrIndex  form = 0x1f01
	formGNUStrIndex   form = 0x1f02
	formGNURefAlt     form = 0x1f20
	formGNUStrpAlt    form = 0x1f21

	formLineInline form = 0xffff // ours: a string in place in .debug_line
)

// encoding is what the size of a form depends on.
type encoding struct {
	version  uint8
	addrSize uint8
	is64     bool // the 64-bit format, with offsets of 8 bytes
}

func (e encoding) offsetSize() int {
	if e.is64 {
		return 8
	}
	return 4
}

// fixedSizes has, for the forms of one size whatever the unit, that size plus one.
var fixedSizes = [...]uint8{
	formFlagPresent: 1, formImplicitConst: 1,
	formData1: 2, formFlag: 2, formRef1: 2, formStrx1: 2, formAddrx1: 2,
	formData2: 3, formRef2: 3, formStrx2: 3, formAddrx2: 3,
	formStrx3: 4, formAddrx3: 4,
	formData4: 5, formRef4: 5, formRefSup4: 5, formStrx4: 5, formAddrx4: 5,
	formData8: 9, formRef8: 9, formRefSig8: 9, formRefSup8: 9,
	formData16: 17,
}

// size is the number of bytes of a form; false when each value has its own.
func (e encoding) size(f form) (int, bool) {
	if int(f) < len(fixedSizes) && fixedSizes[f] > 0 {
		return int(fixedSizes[f]) - 1, true
	}
	switch f {
	case formAddr:
		return int(e.addrSize), true
	case formStrp, formSecOffset, formLineStrp, formStrpSup, formGNURefAlt, formGNUStrpAlt:
		return e.offsetSize(), true
	case formRefAddr:
		if e.version <= 2 {
			return int(e.addrSize), true
		}
		return e.offsetSize(), true
	}
	return 0, false
}

// value is an attribute's value: a number, an index, or an offset. For a string in place it is the offset of its first byte in
// the section that was read; blocks are passed over.
type value struct {
	form form
	u    uint64
}

func (v value) present() bool { return v.form != 0 }

// read reads a value.
func (c *cursor) read(f form, implicit int64, e encoding) value {
	if f == formIndirect {
		if f = form(c.uleb()); f == formIndirect || f == formImplicitConst {
			c.badf("indirect form of form %#x", uint16(f))
		}
	}
	switch f {
	case formImplicitConst:
		return value{f, uint64(implicit)}
	case formFlagPresent:
		return value{f, 1}
	case formSdata:
		return value{f, uint64(c.sleb())}
	case formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx, formGNUAddrIndex, formGNUStrIndex:
		return value{f, c.uleb()}
	case formString:
		off := c.off()
		c.skipString()
		return value{f, off}
	case formData16, formBlock, formBlock1, formBlock2, formBlock4, formExprloc:
		c.skipForm(f, e)
		return value{form: f}
	}
	n, ok := e.size(f)
	if !ok {
		c.badf("unknown form %#x", uint16(f))
		return value{}
	}
	return value{f, c.fixed(n)}
}

// skipForm passes over a value.
func (c *cursor) skipForm(f form, e encoding) {
	switch f {
	case formSdata, formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx, formGNUAddrIndex, formGNUStrIndex:
		c.uleb()
	case formString:
		c.skipString()
	case formBlock, formExprloc:
		c.skip(c.uleb())
	case formBlock1:
		c.skip(uint64(c.u8()))
	case formBlock2:
		c.skip(uint64(c.u16()))
	case formBlock4:
		c.skip(uint64(c.u32()))
	case formIndirect:
		c.read(f, 0, e)
	default:
		n, ok := e.size(f)
		if !ok {
			c.badf("unknown form %#x", uint16(f))
			return
		}
		c.skip(uint64(n))
	}
}
