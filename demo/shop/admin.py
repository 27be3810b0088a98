"""The shop's models in the admin."""

from django.contrib import admin

from shop.models import Order, Product, Rate, Report


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("pk", "product", "email", "state", "created")
    list_filter = ("state",)
    list_select_related = ("product",)


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("name", "price")


@admin.register(Report)
class ReportAdmin(admin.ModelAdmin):
    list_display = ("day", "orders", "revenue")


@admin.register(Rate)
class RateAdmin(admin.ModelAdmin):
    list_display = ("currency", "value", "fetched")
