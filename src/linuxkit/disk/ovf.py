"""The description of a virtual machine in an OVA archive (DMTF DSP0243, OVF 1.1)."""

from __future__ import annotations

from typing import NamedTuple

DESCRIPTION, MANIFEST, DISK = "linuxkit.ovf", "linuxkit.mf", "linuxkit-disk.vmdk"
_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"
_PROCESSOR, _MEMORY, _SCSI, _NETWORK, _DISK = 3, 4, 6, 10, 17


class Machine(NamedTuple):
    """What the machine needs; sizes in bytes but for the memory."""

    capacity: int  # of the disk
    packed: int  # of the disk's file
    memory_mib: int
    efi: bool


def describe(machine: Machine) -> str:
    """The XML; it names the files of this module."""
    rows = "".join((
        _item(1, _PROCESSOR, "processor", VirtualQuantity="1"),
        _item(2, _MEMORY, "memory", AllocationUnits="byte * 2^20",
              VirtualQuantity=str(machine.memory_mib)),
        _item(3, _SCSI, "disk controller", ResourceSubType="VirtualSCSI", Address="0"),
        _item(4, _DISK, "disk", Parent="3", AddressOnParent="0", HostResource="ovf:/disk/disk1"),
        _item(5, _NETWORK, "network", ResourceSubType="VmxNet3", AutomaticAllocation="true",
              Connection="network"),
    ))  # fmt: skip
    firmware = "efi" if machine.efi else "bios"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="{_OVF}" xmlns:ovf="{_OVF}"
  xmlns:rasd="{_CIM}/CIM_ResourceAllocationSettingData"
  xmlns:vssd="{_CIM}/CIM_VirtualSystemSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href="{DISK}" ovf:id="file1" ovf:size="{machine.packed}"/>
  </References>
  <DiskSection>
    <Info>Disks</Info>
    <Disk ovf:capacity="{machine.capacity}" ovf:diskId="disk1" ovf:fileRef="file1"
      ovf:format="{_FORMAT}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="network"><Description>The network</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="linuxkit">
    <Info>A machine</Info>
    <Name>linuxkit</Name>
    <OperatingSystemSection ovf:id="101">
      <Info>Linux, 64 bits</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System>
        <vssd:ElementName>hardware</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
{rows}      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def _item(number: int, kind: int, name: str, **more: str) -> str:
    """One piece of hardware; its properties have to stand in the order of their names."""
    found = {"ElementName": name, "InstanceID": str(number), "ResourceType": str(kind), **more}
    lines = "".join(
        f"        <rasd:{key}>{value}</rasd:{key}>\n" for key, value in sorted(found.items())
    )
    return f"      <Item>\n{lines}      </Item>\n"
