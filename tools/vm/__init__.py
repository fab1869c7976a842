"""Tests on another kernel: Debian's own, with AppArmor and Yama, and with the layout of cgroups that is asked for, in a virtual machine.

Everything comes from Debian packages and this checkout. Without KVM the processor is emulated, twenty times slower than it
is: waits of the tests are stretched by POLONG_TEST_PATIENCE, and only a part of the tests is of use there.
"""
