# The guest of the integrity oracle: one boot sector that is written to the start of the disk under
# test, so that the disk carries both the program and its data. It keeps a ring of 127 sectors from
# LBA 64; an entry is a sequence number and its complement, repeated over the sector.
#
# What it says on COM1 (hexadecimal, small letters; a line ends with a line feed):
#   B <highest> <valid>   once at every boot: the highest number found in the ring and how many of
#                         the last 127 numbers are there. No B between two A lines is the proof that
#                         the guest was carried over alive and not started again.
#   A <number>            this write came back without error
#   E <number>            this write came back with an error; it is repeated until it succeeds
# It writes one sector every second BIOS tick (110 ms), one at a time: at most one number can be on the
# disk without having been confirmed. The BIOS polls the disk until a write is through, and in a machine that
# is emulated itself a write a tick left its only processor no time for the cluster. Capital letters occur
# only as the first character of a line, so a reader finds the next line after any loss.
#
# For each number it also writes into 112 pages of its memory, some 4 MB/s of changes: a live migration
# that is allowed 1 MB/s can never end, one at full speed takes no notice.
#
# It answers the ACPI power button (PIIX4 PM block at 0x600: machine type `pc`), so a graceful
# shutdown works. Build: as --32, ld -m elf_i386 -Ttext 0x7c00 --oformat binary -e _start
.code16
.globl _start
_start: ljmp $0,$go			# some firmware starts us as 07c0:0000
go:	xorw %ax,%ax
	movw %ax,%ds
	movw %ax,%es
	movw %ax,%ss
	movw $0x7c00,%sp
	cld
	sti
	movb %dl,drv			# the disk that we were booted from
	movw $0x602,%dx			# PM1 enable: power button raises its status bit
	movw $0x100,%ax
	outw %ax,%dx
rd:	movb $0x42,%ah			# the whole ring to 1000:0000; an unreadable disk is waited for,
	movw $dapr,%si			# a boot line made of nothing would accuse the wrong one
	movw $127,dapr+2
	call disk
	jc rd
	movw $0x1000,%ax
	movw %ax,%es
# First pass: ebx = the highest number among the entries that are whole.
	xorl %ebx,%ebx
	xorw %di,%di
	movw $127,%cx
1:	call entry
	jne 2f
	cmpl %ebx,%eax
	jbe 2f
	movl %eax,%ebx
2:	addw $512,%di
	loop 1b
# Second pass: ebp = how many whole entries lie within 127 of the highest. An entry that was never
# written is zero and its complement does not match.
	xorl %ebp,%ebp
	xorw %di,%di
	movw $127,%cx
1:	call entry
	jne 2f
	movl %ebx,%edx
	subl %eax,%edx
	cmpl $127,%edx
	jae 2f
	incl %ebp
2:	addw $512,%di
	loop 1b
	xorw %ax,%ax
	movw %ax,%es
	movb $'B',%al
	call putc
	movl %ebx,%eax
	call hex
	movl %ebp,%eax
	call hex
	call nl
# One number: touch the memory, fill the sector, write it to LBA 64 + number mod 127, say how it went.
next:	incl %ebx
	movw $0x2000,%ax
1:	movw %ax,%es
	movl %ebx,%es:0
	addw $0x100,%ax
	cmpw $0x9000,%ax
	jne 1b
	xorw %ax,%ax
	movw %ax,%es
	movw $0x8000,%di
	movw $64,%cx
	movl %ebx,%eax
1:	stosl
	notl %eax
	stosl
	notl %eax
	loop 1b
	xorl %edx,%edx
	movl $127,%ecx
	divl %ecx
	addl $64,%edx
	movl %edx,dapw+8
again:	movw $0x4300,%ax
	movw $dapw,%si
	movw $1,dapw+2			# an error leaves there how many were written, and none would be next
	call disk
	movb $'A',%al
	jnc 1f
	movb $'E',%al
1:	pushf
	call putc
	movl %ebx,%eax
	call hex
	call nl
	movw $2,%di			# wait for the second tick from now
2:	movw 0x46c,%cx			# the BIOS tick counter
1:	hlt
	movw $0x600,%dx			# PM1 status: was the power button pressed?
	inw %dx,%ax
	testb $1,%ah
	jnz off
	cmpw 0x46c,%cx
	je 1b
	decw %di
	jnz 2b
	popf
	jc again
	jmp next
off:	movw $0x604,%dx			# PM1 control: S5
	movw $0x2000,%ax
	outw %ax,%dx
1:	hlt
	jmp 1b
entry:	movl %es:(%di),%eax		# zero flag: the entry at es:di is whole; eax = its number
	movl %es:4(%di),%edx
	notl %edx
	cmpl %eax,%edx
	ret
disk:	movb drv,%dl
	int $0x13
	ret
hex:	pushl %eax			# a blank and eax as eight digits
	movb $' ',%al
	call putc
	popl %eax
	movw $8,%cx
1:	roll $4,%eax
	pushl %eax
	andb $15,%al
	addb $'0',%al
	cmpb $'9',%al
	jbe 2f
	addb $39,%al
2:	call putc
	popl %eax
	loop 1b
	ret
nl:	movb $10,%al
putc:	pushw %dx
	pushw %ax
	movw $0x3fd,%dx
1:	inb %dx,%al
	testb $0x20,%al
	jz 1b
	popw %ax
	movw $0x3f8,%dx
	outb %al,%dx
	popw %dx
	ret
dapr:	.byte 16,0			# disk address packets: read the ring, write one entry
	.word 127,0,0x1000
	.long 64,0
dapw:	.byte 16,0
	.word 1,0x8000,0
	.long 64,0
drv:	.byte 0
	.org 510
	.word 0xaa55
